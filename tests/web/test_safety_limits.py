"""The limits on requests, judged by an application that takes its time; and the parts of the doors one by one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from pinery.web.access import own_path
from pinery.web.brake import Brake
from pinery.web.flash import LONGEST, Flash
from pinery.web.hosts import is_loopback, name_of
from pinery.web.limits import BODY_BYTES_AT_ONCE, DECODING_AT_ONCE, FORM_BYTES, UPLOADS_AT_ONCE, Limits


class Slow:
    """An application that reads its body, and answers once it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # ASGI's signature
        """Answer 200."""
        self.asked += 1
        while (await receive()).get("more_body"):
            pass
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


class Asked:
    """One request, and what came back."""

    def __init__(self, method: str = "GET", path: str = "/", body: list[bytes] | None = None, **headers: str) -> None:
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "query_string": b""}
        self.scope["headers"] = named
        self.body = asyncio.Queue[bytes | None]()
        for one in [*(body or []), None]:
            self.body.put_nowait(one)
        self.status = 0

    async def receive(self) -> Message:
        """The next piece of the body."""
        piece = await self.body.get()
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(self, message: Message) -> None:
        """Note the status."""
        self.status = message.get("status", self.status)

    async def ask(self, limits: Limits) -> int:
        """Return the status of the answer."""
        await limits(self.scope, self.receive, self.send)
        return self.status


async def _settled(app: Slow, asked: int) -> None:
    while app.asked < asked:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)


def test_more_requests_than_are_answered_at_once_are_told_to_come_back() -> None:
    async def check() -> None:
        app = Slow()
        limits = Limits(app, image_bytes=1000, at_once=3)
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(Asked().ask(limits)) for _ in range(3)]
            await _settled(app, 3)
            assert await Asked().ask(limits) == 503
            health = group.create_task(Asked(path="/healthz").ask(limits))
            await _settled(app, 4)  # it was let through
            app.may_answer.set()
        assert [one.result() for one in (*waiting, health)] == [200] * 4
        assert await Asked().ask(limits) == 200

    asyncio.run(check())


def test_slow_bodies_are_in_the_way_of_bodies_alone() -> None:
    async def check() -> None:
        app = Slow()
        app.may_answer.set()
        limits = Limits(app, image_bytes=1000, at_once=3)
        slow = [Asked("POST", "/api/search", transfer_encoding="chunked") for _ in range(UPLOADS_AT_ONCE)]
        for one in slow:
            one.body.get_nowait()  # its end doesn't come yet
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(one.ask(limits)) for one in slow]
            await _settled(app, UPLOADS_AT_ONCE)
            assert await Asked("POST", "/api/search", content_length="5").ask(limits) == 503
            assert await Asked().ask(limits) == 200
            for one in slow:
                one.body.put_nowait(None)
        assert [one.result() for one in waiting] == [200] * UPLOADS_AT_ONCE
        assert await Asked("POST", "/api/search", body=[b"12345"], content_length="5").ask(limits) == 200

    asyncio.run(check())


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/api/search", 1000 + FORM_BYTES), ("/api/items", 1000 + FORM_BYTES), ("/login", FORM_BYTES), ("/x", FORM_BYTES)],
)
def test_a_body_is_as_large_as_its_path_allows_told_or_not(path: str, allowed: int) -> None:
    async def check() -> None:
        app = Slow()
        app.may_answer.set()
        limits = Limits(app, image_bytes=1000)
        assert await Asked("POST", path, content_length=str(allowed + 1)).ask(limits) == 413
        assert app.asked == 0
        assert await Asked("POST", path, [b"x" * allowed], transfer_encoding="chunked").ask(limits) == 200
        assert await Asked("POST", path, [b"x" * allowed, b"x"], transfer_encoding="chunked").ask(limits) == 413

    asyncio.run(check())


def test_all_bodies_at_once_have_a_limit_too() -> None:
    async def check() -> None:
        app = Slow()
        limits = Limits(app, image_bytes=BODY_BYTES_AT_ONCE)
        half = b"x" * (BODY_BYTES_AT_ONCE // 2)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(Asked("POST", "/api/search", [half], transfer_encoding="chunked").ask(limits))
            await _settled(app, 1)
            second = Asked("POST", "/api/search", [half, b"x"], transfer_encoding="chunked")
            assert await second.ask(limits) == 503
            app.may_answer.set()
        assert first.result() == 200
        assert await Asked("POST", "/api/search", [half], transfer_encoding="chunked").ask(limits) == 200

    asyncio.run(check())


def test_few_images_of_visitors_are_decoded_at_once() -> None:
    async def check() -> None:
        app = Slow()
        limits = Limits(app, image_bytes=1000)
        async with asyncio.TaskGroup() as group:
            waiting = [
                group.create_task(Asked("POST", "/api/search", [b"x"], content_length="1").ask(limits))
                for _ in range(DECODING_AT_ONCE)
            ]
            await _settled(app, DECODING_AT_ONCE)
            assert await Asked("POST", "/api/items", [b"x"], content_length="1").ask(limits) == 503
            other = group.create_task(Asked(path="/api/search").ask(limits))
            await _settled(app, DECODING_AT_ONCE + 1)
            app.may_answer.set()
        assert [one.result() for one in (*waiting, other)] == [200] * (DECODING_AT_ONCE + 1)

    asyncio.run(check())


def test_a_brake_counts_each_address_and_forgets() -> None:
    brake = Brake(failures=2, seconds=60)
    for address in ("10.0.0.1", "2001:db8::1", "2001:db8::2"):
        brake.failed(address)
    assert brake.wait("10.0.0.1") == 0
    assert 0 < brake.wait("2001:db8::ffff") <= 60  # of one network
    brake.failed("::ffff:10.0.0.2")
    brake.failed("10.0.0.2")
    assert brake.wait("10.0.0.2")  # one address, however it is written
    assert brake.wait("::ffff:10.0.0.3") == brake.wait("2001:db8:1::1") == brake.wait("unix") == 0
    short = Brake(failures=1, seconds=0.0)
    short.failed("10.0.0.1")
    assert short.wait("10.0.0.1") == 0


def test_words_are_kept_by_names_that_nobody_knows() -> None:
    flash = Flash()
    name = flash.keep("x" * 5000, bad=True)
    assert flash.of(name) == {"text": "x" * LONGEST, "bad": True}
    assert flash.of("You have won") == flash.of(None) == {"text": "", "bad": False}


@pytest.mark.parametrize(
    ("host", "name"),
    [("LocalHost:80", "localhost"), ("[::1]:80", "::1"), ("a.b.", "a.b"), ("", ""), ("[", ""), (":80", "")],
)
def test_the_name_in_a_host(host: str, name: str) -> None:
    assert name_of(host) == name


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_what_is_of_this_machine_alone(name: str) -> None:
    assert is_loopback(name)
    assert not is_loopback(f"{name}.example")
    assert not is_loopback("0.0.0.0")


@pytest.mark.parametrize("path", ["/", "/search?id=a%20b&text=//x", "/status"])
def test_paths_of_this_server_are_led_to(path: str) -> None:
    assert own_path(path) == path
    assert own_path(f"/{path}") == own_path(f"http:{path}") == own_path(f"{path}\u2028") == "/"
