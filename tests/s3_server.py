"""A local S3 over HTTP: moto behind a WSGI layer that injects faults, counts requests and makes writes atomic.

`with S3Server() as server:` in a test, or `python -m tests.s3_server --port 5000` as a process of its own.
All servers of one process share their buckets, so take a new bucket for every test.
"""

from __future__ import annotations

import argparse
import itertools
import re
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import boto3
import pytest
from moto.moto_server.werkzeug_app import create_backend_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from mypy_boto3_s3.client import S3Client

_CODES = {
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}
_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
_bucket_numbers = itertools.count(1)


@dataclass
class _Fault:
    """A fault that meets the next `times` requests whose method and object key match."""

    times: int
    method: str
    key: str
    status: int = 0
    code: str = ""
    cut: bool = False
    after: bool = False

    def matches(self, method: str, key: str) -> bool:
        return self.times > 0 and self.method in ("*", method) and key.startswith(self.key)


class S3Server:
    """An S3 endpoint on a free local port (or `port`), up while the context is open.

    PUT, POST and DELETE run one at a time, because moto checks the condition of a PUT apart from the write.
    """

    def __init__(self, port: int = 0) -> None:
        self._app = create_backend_app("s3").wsgi_app
        self._writes = threading.Lock()
        self._state = threading.Lock()
        self._faults: list[_Fault] = []
        self._requests: Counter[tuple[str, str]] = Counter()
        self._ignored: set[str] = set()
        self._wrong_sums = self._whole = False
        self._slow: tuple[str, Callable[[], object]] | None = None
        self._change: tuple[str, str, Callable[[bytes], bytes]] | None = None
        self._client: S3Client | None = None
        self._http = make_server("127.0.0.1", port, self._answer, _ThreadedServer, _Handler)
        self.endpoint_url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> S3Server:
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def fail(
        self, status: int, times: int = 1, method: str = "*", key: str = "", code: str = "", after: bool = False
    ) -> None:
        """Answer the next `times` requests with `status`, where method and beginning of the object key match.

        `key` is without the bucket; listings have the key "". With `after` the request takes effect first, as when
        an acknowledgement is lost.
        """
        with self._state:
            self._faults.append(_Fault(times, method, key, status, code or _CODES.get(status, "Fault"), after=after))

    def cut(self, times: int = 1, method: str = "GET", key: str = "") -> None:
        """Close the connection amid the body of the next `times` matching answers."""
        with self._state:
            self._faults.append(_Fault(times, method, key, cut=True))

    def ignore_conditions(self, *methods: str) -> None:
        """Answer requests of these methods as if they had no If-Match and no If-None-Match, as some servers do."""
        self._ignored = set(methods)

    def ignore_ranges(self) -> None:
        """Answer each request for a range with the whole object, as some servers do."""
        self._whole = True

    def send_whole_checksums(self) -> None:
        """Answer a range with a checksum of other bytes where checksums are asked for, as some servers do."""
        self._wrong_sums = True

    def change_answers(self, change: Callable[[bytes], bytes], method: str = "GET", key: str = "") -> None:
        """Send what `change` makes of each body, where the method and the whole object key match, until `heal`.

        The status stays 200, and nothing else that tells of an object is sent: so proxies answer for a server, and
        servers that know a part of the API. Listings have the key "".
        """
        self._change = (method, key, change)

    def delay(self, seconds: float, key: str) -> None:
        """Answer each GET of the objects whose key begins so that much later; 0 ends it."""
        self.hold(lambda: time.sleep(seconds), key)

    def hold(self, wait: Callable[[], object], key: str) -> None:
        """Call `wait` before each GET of the objects whose key begins so is answered; listings have the key ""."""
        self._slow = (key, wait)

    def heal(self) -> None:
        """Forget all faults that were not met yet."""
        with self._state:
            self._faults.clear()
            self._change = None

    def count(self, method: str = "*", key: str = "") -> int:
        """Return how many requests had this method and began with this object key, since the last `reset_counts`."""
        with self._state:
            return sum(n for (m, k), n in self._requests.items() if method in ("*", m) and k.startswith(key))

    def reset_counts(self) -> None:
        """Count from zero again."""
        with self._state:
            self._requests.clear()

    def client(self) -> S3Client:
        """A plain client of this server, made once; needs credentials in the environment (`set_fake_credentials`)."""
        if self._client is None:
            self._client = boto3.client("s3", endpoint_url=self.endpoint_url)
        return self._client

    def new_bucket(self) -> str:
        """Create a bucket of a name not used before in this process."""
        name = f"bucket-{next(_bucket_numbers)}"
        self.client().create_bucket(Bucket=name)
        return name

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        key = path.lstrip("/").partition("/")[2]
        with self._state:
            self._requests[method, key] += 1
            fault = next((f for f in self._faults if f.matches(method, key)), None)
            if fault:
                fault.times -= 1
        if fault and not fault.cut:
            if fault.after:
                self._run(environ, lambda *_: lambda _: None)
            else:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _refuse(fault, start_response)
        if self._slow and method == "GET" and key.startswith(self._slow[0]):
            self._slow[1]()
        if method in self._ignored:
            environ = {name: value for name, value in environ.items() if name not in _CONDITIONS}
        if self._whole:
            environ = {name: value for name, value in environ.items() if name != "HTTP_RANGE"}
        if self._wrong_sums and "HTTP_RANGE" in environ and "HTTP_X_AMZ_CHECKSUM_MODE" in environ:
            start_response = _with_another_sum(start_response)
        if self._change and self._change[:2] == (method, key):
            query = re.sub("&?continuation-token=[^&]*", "", environ["QUERY_STRING"])  # changed pages have any token
            environ |= {"QUERY_STRING": query, "RAW_URI": f"{environ['RAW_URI'].partition('?')[0]}?{query}"}
            changed = self._change[2](self._run(environ, lambda *_: lambda _: None))
            start_response("200 OK", [("Content-Type", "application/xml"), ("Content-Length", str(len(changed)))])
            return [changed]
        body = self._run(environ, start_response)
        return [body[: len(body) // 2]] if fault else [body]

    def _run(self, environ: WSGIEnvironment, start_response: Any) -> bytes:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return b"".join(self._app(environ, start_response))
        with self._writes:
            return b"".join(self._app(environ, start_response))


def _with_another_sum(start_response: Any) -> Any:
    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        kept = [header for header in headers if not header[0].lower().startswith("x-amz-checksum")]
        return start_response(status, [*kept, ("x-amz-checksum-crc32", "AAAAAA==")], *rest)

    return start


def _refuse(fault: _Fault, start_response: StartResponse) -> Iterable[bytes]:
    body = f"<Error><Code>{fault.code}</Code><Message>injected</Message></Error>".encode()
    start_response(f"{fault.status} Injected", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
    return [body]


class _ThreadedServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(WSGIRequestHandler):
    # Only HTTP/1.1 answers `Expect: 100-continue`, without which boto3 waits a second before each PUT.
    protocol_version = "HTTP/1.1"

    def get_environ(self) -> WSGIEnvironment:
        """Return the environment as moto expects it: with the path before it was decoded."""
        return super().get_environ() | {"RAW_URI": self.path}

    def log_message(self, *_: object) -> None:
        """Keep the test output quiet."""


def set_fake_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put credentials that mean nothing into the environment, and shut out all others of this machine."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    shut_out_credentials(monkeypatch, keep_keys=True)


def shut_out_credentials(monkeypatch: pytest.MonkeyPatch, keep_keys: bool = False) -> None:
    """Hide every AWS setting of this machine."""
    keys = () if keep_keys else ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    for name in (*keys, "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A local S3, with fake credentials in the environment."""
    set_fake_credentials(monkeypatch)
    with S3Server() as server:
        yield server


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=5000)
    with S3Server(parser.parse_args().port) as server:
        print(server.endpoint_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
