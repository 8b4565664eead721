"""The HTTP server: one port for the control plane (at `/`) and every index's data plane (at `/ix/<name>`)."""

from __future__ import annotations

import socket
import struct
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from tests.pinecone_server import limits
from tests.pinecone_server.control import ControlPlane
from tests.pinecone_server.data import DataPlane
from tests.pinecone_server.faults import FaultQueue
from tests.pinecone_server.log import Entry, RequestLog
from tests.pinecone_server.routes import Call, carry_out, route
from tests.pinecone_server.settings import Settings
from tests.pinecone_server.shapes import Answer, Refused, data_refusal, text_refusal

_MAX_READ = 64 * 1024 * 1024
_RESET = struct.pack("ii", 1, 0)


class PineconeServer:
    """A local Pinecone; a context manager that serves from enter to exit.

    `settings`, `faults` and `log` may be used at any time; `stop` and `start` simulate an outage and keep all data.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.faults = FaultQueue()
        self.log = RequestLog()
        self.control = ControlPlane(self.settings)
        self.host = host
        self.port = port
        self._http: _Http | None = None

    @property
    def url(self) -> str:
        """The control plane's address; the data planes' begin with it."""
        return f"http://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point Pinecone's SDK at this server."""
        return {"PINECONE_CONTROLLER_HOST": self.url, "PINECONE_API_KEY": self.settings.api_key or "local"}

    def start(self) -> None:
        """Listen; with port 0 on a free port, which is kept over a `stop`."""
        self._http = _Http((self.host, self.port), self)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True, name="pinecone-server").start()

    def stop(self) -> None:
        """Stop listening and break all connections; the data stay for a later `start`."""
        if self._http is not None:
            http, self._http = self._http, None
            self.faults.clear()
            http.shutdown()
            http.server_close()
            http.break_connections()

    def hold(self) -> None:
        """Make no further write visible until `release`."""
        self.settings.held = True

    def release(self) -> None:
        """Make writes visible again, those held back included."""
        self.settings.held = False

    def make_ready(self, name: str) -> None:
        """Let an index report that it is ready, whatever `ready_after` says."""
        self.control.index(name).ready_at = 0.0

    def data(self, name: str) -> DataPlane:
        """An index's data plane, for a test to look at past HTTP."""
        return self.control.index(name).data

    def __enter__(self) -> PineconeServer:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], owner: PineconeServer) -> None:
        self.owner = owner
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        # No FIN before the RST of a connection that a fault broke.
        if request.fileno() >= 0 and request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == _RESET:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def break_connections(self) -> None:
        """Shut every connection that is still open."""
        with self._open_lock:
            still_open = list(self._open)
        for request in still_open:
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: _Http

    def _serve(self) -> None:
        owner, call, size = self.server.owner, Call("unknown"), 0
        answer: Answer | None = None
        try:
            raw = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MAX_READ))
            size = len(raw)
            call = route(self.command, self.path)
            self._authorise()
        except Refused as refused:
            answer = refused.answer
        started = owner.log.begin(call.op)
        try:
            if answer is None:
                answer = self._answer(call, raw)
        finally:
            status = 0 if answer is None else answer.status
            noted = answer or Answer()
            seconds = time.monotonic() - started
            owner.log.end(Entry(call.op, call.index, noted.namespace, noted.records, size, status, seconds))
        if answer is None:
            self._break()
        else:
            self._send(answer)

    def _authorise(self) -> None:
        key, expected = self.headers.get("Api-Key"), self.server.owner.settings.api_key
        if not key:
            raise text_refusal("Unauthorized: no API key was given", 401)
        if expected is not None and key != expected:
            raise text_refusal("Invalid API Key", 401)

    def _answer(self, call: Call, raw: bytes) -> Answer | None:
        """The answer to a call, with its fault if one is queued; None is a broken connection."""
        owner = self.server.owner
        fault = owner.faults.take(call.op)
        if fault is not None and fault.gate is not None:
            fault.gate.arrived.set()
            fault.gate.opened.wait()
        elif fault is not None and not fault.after:
            return fault.answer
        if owner.settings.latency and not call.is_control:
            time.sleep(owner.settings.latency)
        try:
            limits.check_body(len(raw), owner.settings)
            version = self.headers.get("X-Pinecone-Api-Version") or "2025-01"
            answer = carry_out(call, owner.control, _decoded(raw), version, owner.url)
        except Refused as refused:
            answer = refused.answer
        except Exception:  # noqa: BLE001 - a bug here must reach the client and stderr
            traceback.print_exc()
            answer = Answer({"code": 13, "message": "a bug in the local Pinecone; see its stderr"}, 500)
        return fault.answer if fault is not None and fault.after else answer

    def _send(self, answer: Answer) -> None:
        body = answer.body
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _break(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the request log has it."""

    do_GET = do_POST = do_PATCH = do_DELETE = _serve


def _decoded(raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise data_refusal(f"Failed to deserialize the JSON body: {error}", 422) from None
    if not isinstance(body, dict):
        raise data_refusal("the JSON body must be an object", 422)
    return body
