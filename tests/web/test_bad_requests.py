"""Requests that are wrong, torn, greedy or slow: each gets its answer, and the others get theirs as before."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from pinery.config_file import load_config
from pinery.web.connections import BODY_SECONDS, CONNECTIONS, HEAD_SECONDS
from tests.filled import holding
from tests.processes import wait_until
from tests.web.bad_requests import Bad, by_hand, generated, operations_of
from tests.web.serving import Server, corpus, serving

MEMORY = 400 << 20
"""What the server may need more than after its first answers: an image is decoded, some bodies are held."""
EXAMPLES = 500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An editable server whose corpus is held by another run, so that no request starts one."""
    made = corpus(tmp_path_factory.mktemp("bad"))
    with serving(made, "--editable") as running, holding(load_config(str(made)).model_dump(mode="json")):
        with running.client() as client:
            for path in ("/", "/api/items", "/api/facets", "/api/search?id=red-0.jpg", "/thumb?id=red-0.jpg"):
                assert client.get(path, follow_redirects=True).status_code == 200
            client.post("/api/search", content=(made.parent / "images" / "red-1.jpg").read_bytes())
        yield running


@pytest.fixture
def bounded(server: Server) -> Iterator[Server]:
    """The server, whose memory must stay within bounds during the test, and which must have nothing to log."""
    before, logged = server.memory(), len(server.log())
    most = [before]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            most.append(server.memory())

    watching = threading.Thread(target=watch)
    watching.start()
    yield server
    ended.set()
    watching.join()
    assert max(most) - before < MEMORY
    assert server.log()[logged:] == ""
    with server.client() as client:
        assert client.get("/api/search?id=red-0.jpg").status_code == 200


@pytest.fixture(scope="module")
def operations(server: Server) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """The operations that the server itself tells of."""
    with server.client() as client:
        return operations_of(client.get("/openapi.json").json())


def send(client: httpx.Client, bad: Bad) -> httpx.Response:
    """Return the answer to a request; a header that is none in Python's eyes is left out."""
    return client.request(bad.method, bad.url, content=bad.body or None, headers=bad.headers)


def judge(bad: Bad, answer: httpx.Response) -> None:
    """Fail unless an answer is none of the server's own fault, and says what is wrong in one sentence."""
    assert answer.status_code < 500 or answer.status_code == 503, (bad, answer.text[:500])
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) > 0
    assert "Traceback" not in answer.text
    assert "root:" not in answer.text
    if answer.status_code >= 400 and bad.path.startswith("/api/"):
        assert set(answer.json()) == {"error"}
        assert 0 < len(answer.json()["error"]) < 3000


def test_what_the_schema_lets_think_of(bounded: Server, operations: list[Any]) -> None:
    counted = dict[int, int]()
    with bounded.client() as client:

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
        @given(bad=generated(operations))
        def ask(bad: Bad) -> None:
            answer = send(client, bad)
            judge(bad, answer)
            counted[answer.status_code] = counted.get(answer.status_code, 0) + 1

        ask()
    assert sum(counted.values()) >= EXAMPLES
    assert sum(number for status, number in counted.items() if status >= 400) > EXAMPLES / 2, counted


def test_what_was_thought_of_by_hand(bounded: Server, operations: list[Any]) -> None:
    bads = by_hand(operations)
    assert len(bads) >= 500
    refused = 0
    with bounded.client() as client:
        for bad in bads:
            answer = send(client, bad)
            judge(bad, answer)
            refused += 400 <= answer.status_code < 500
            if bad.body and bad.path.startswith("/api/"):
                assert 400 <= answer.status_code < 500, (bad.path, bad.body[:100])
    assert refused > len(bads) / 2


RAW = {
    "nothing": b"\r\n\r\n",
    "no http": b"hello\r\n\r\n",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
    "bare control": b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "not ascii": b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "connect": b"CONNECT evil:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another origin": b"GET http://evil/etc HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "long head": b"GET / HTTP/1.1\r\nHost: localhost\r\nx: " + b"x" * 200_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"x: y\r\n" * 30_000 + b"\r\n",
    "negative length": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "length in words": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: ten\r\n\r\n",
    "huge length": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "bad chunk": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "unknown encoding": b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\nx",
    "upgrade": b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("raw", RAW)
def test_what_is_hardly_http(bounded: Server, raw: str) -> None:
    with socket.create_connection(("127.0.0.1", bounded.port), timeout=HEAD_SECONDS * 3) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(RAW[raw])
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(4096)
    if answer:
        assert re.match(rb"HTTP/1\.1 4\d\d ", answer), answer[:200]


def quick(server: Server, seconds: float = 3) -> None:
    """Fail unless the server answers somebody else now."""
    began = time.monotonic()
    with server.client() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/api/search?id=red-0.jpg").status_code == 200
    assert time.monotonic() - began < seconds


def open_all(server: Server, number: int, head: bytes) -> list[socket.socket]:
    """Return so many connections, each of which began to send something."""
    found = []
    for _ in range(number):
        one = socket.create_connection(("127.0.0.1", server.port))
        one.sendall(head)
        found.append(one)
    return found


def closed(connection: socket.socket) -> bool:
    """Whether the server closed a connection, as far as it is told by now."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def test_connections_that_send_their_head_slowly_are_closed(bounded: Server) -> None:
    began = time.monotonic()
    slow = open_all(bounded, CONNECTIONS + 50, b"GET / HTTP/1.1\r\nHost: local")
    quick(bounded)

    def all_closed() -> bool:
        for one in slow:
            with contextlib.suppress(OSError):
                one.send(b"x")
        return all(closed(one) for one in slow)

    wait_until(all_closed, seconds=60)
    assert time.monotonic() - began < HEAD_SECONDS * 3
    quick(bounded)


def test_connections_that_send_nothing_are_closed(bounded: Server) -> None:
    idle = open_all(bounded, 100, b"")
    quick(bounded)
    wait_until(lambda: all(closed(one) for one in idle), seconds=HEAD_SECONDS * 3)


def test_bodies_that_come_slowly_are_given_up(bounded: Server) -> None:
    head = (
        b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 1000000\r\n\r\n"
    )
    slow = open_all(bounded, 60, head + b"\xff\xd8\xff")
    began = time.monotonic()
    quick(bounded)

    def all_closed() -> bool:
        for one in slow:
            with contextlib.suppress(OSError):
                one.send(b"x")
        return all(closed(one) for one in slow)

    wait_until(all_closed, seconds=90)
    assert time.monotonic() - began < BODY_SECONDS * 3
    quick(bounded)


def test_answers_that_nobody_takes_hold_nobody_up(bounded: Server) -> None:
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    greedy = open_all(bounded, 100, ask * 100)  # pipelined, and none of it is read
    quick(bounded)
    for one in greedy:
        one.close()
    quick(bounded)


def test_a_body_that_ends_too_early_is_forgotten(bounded: Server) -> None:
    head = b"POST /api/items?name=a.jpg HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    for one in open_all(bounded, 50, head + b"\xff\xd8\xff" * 1000):
        one.close()
    quick(bounded)


@pytest.mark.parametrize("told", [True, False], ids=["told", "chunked"])
@pytest.mark.parametrize("path", ["/api/search", "/api/items?name=a.jpg", "/search", "/items", "/runs", "/healthz"])
def test_a_body_of_a_gigabyte_is_refused_before_it_is_read(bounded: Server, path: str, told: bool) -> None:
    size = f"Content-Length: {1 << 30}" if told else "Transfer-Encoding: chunked"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n{size}\r\n\r\n".encode()
    piece = b"\xff" * (1 << 20)
    chunk = piece if told else b"%x\r\n%s\r\n" % (len(piece), piece)
    sent, answer = 0, b""
    with socket.create_connection(("127.0.0.1", bounded.port), timeout=60) as connection:
        try:
            connection.sendall(head)
            while sent < 1 << 30:
                connection.sendall(chunk)
                sent += len(piece)
        except (ConnectionError, TimeoutError):
            pass
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(4096)
    assert sent < 400 << 20
    status = rb"HTTP/1\.1 (303|4\d\d) " if path in ("/items", "/runs") else rb"HTTP/1\.1 4\d\d "
    assert not answer or re.match(status, answer), answer[:100]
    quick(bounded)


def test_a_client_that_waits_to_be_told_to_go_on_is_told_not_to(bounded: Server) -> None:
    head = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", bounded.port), timeout=30) as connection:
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.slow
def test_many_greedy_clients_get_answers_or_are_told_to_wait(bounded: Server) -> None:
    statuses, lock = list[int](), threading.Lock()

    def ask() -> None:
        with bounded.client() as client:
            for _ in range(5):
                got = client.get("/api/search?id=red-0.jpg&top_k=12").status_code
                with lock:
                    statuses.append(got)

    threads = [threading.Thread(target=ask) for _ in range(60)]
    for one in threads:
        one.start()
    with bounded.client() as client:
        while any(one.is_alive() for one in threads):
            assert client.get("/healthz").status_code == 200
    assert len(statuses) == 300
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) > 100


@pytest.mark.slow
def test_bombs_at_once_take_one_image_of_memory(bounded: Server, tmp_path: Path) -> None:
    from tests.web.bad_requests import png

    bomb = png(7900, 7900)  # just below the limit, so it is decoded
    statuses = []

    def ask(path: str) -> None:
        with bounded.client() as client:
            statuses.append(client.post(path, content=bomb, headers={"content-type": "image/png"}).status_code)

    threads = [threading.Thread(target=ask, args=("/api/items?name=.bomb.png",)) for _ in range(4)]
    threads += [threading.Thread(target=ask, args=("/api/search",)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert set(statuses) <= {200, 400, 503}
    quick(bounded)
