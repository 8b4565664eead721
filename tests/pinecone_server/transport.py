"""HTTP/1.1: a listening socket whose connections turn into requests, and whose answers turn into bytes."""

import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from tests.pinecone_server.exchange import Exchange, Request
from tests.pinecone_server.routes import route
from tests.pinecone_server.shapes import Answer, data_refusal

_MAX_READ = 64 * 1024 * 1024
_RESET = struct.pack("ii", 1, 0)
_HTTP2 = b"PRI"
"""The first bytes of an HTTP/2 connection, and with it of gRPC."""


class Http(ThreadingHTTPServer):
    """A server of one address; paths are taken to begin with `prefix`.

    Connections that begin as HTTP/2 are passed on to `http2_port` on this host, if there is one.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self, address: tuple[str, int], exchange: Exchange, prefix: str = "", http2_port: int | None = None
    ) -> None:
        self.exchange, self.prefix, self.http2_port = exchange, prefix, http2_port
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Serve on a thread."""
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True, name="pinecone-server").start()

    def stop(self) -> None:
        """Stop listening and break all connections."""
        self.shutdown()
        self.server_close()
        with self._open_lock:
            still_open = list(self._open)
        for request in still_open:
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, and serve it on a thread."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection: by RST, without a FIN before it, where a fault broke it."""
        with self._open_lock:
            self._open.discard(request)
        if request.fileno() >= 0 and request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == _RESET:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: Http

    def handle(self) -> None:
        begins = self.connection.recv(len(_HTTP2), socket.MSG_PEEK | socket.MSG_WAITALL)
        if begins == _HTTP2 and self.server.http2_port is not None:
            _pass_on(self.connection, (str(self.server.server_address[0]), self.server.http2_port))
        else:
            super().handle()

    def _serve(self) -> None:
        raw = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MAX_READ))
        version = self.headers.get("X-Pinecone-Api-Version") or "2025-01"
        call = route(self.command, self.server.prefix + self.path)
        request = Request(call, len(raw), self.headers.get("Api-Key"), lambda: _decoded(raw), version)
        answer = self.server.exchange.answer(request)
        if answer is None:
            self._break()
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = answer.body
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if answer.cut else body)
        # Without RST: what was sent must arrive.
        self.close_connection = self.close_connection or answer.cut

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


def _pass_on(connection: socket.socket, address: tuple[str, int]) -> None:
    """Copy bytes both ways between a connection and `address` until both have ended."""
    with socket.create_connection(address) as inner:
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = threading.Thread(target=_copy, args=(inner, connection), daemon=True)
        answers.start()
        _copy(connection, inner)
        answers.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(1 << 16):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone, so both are.
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
