"""Who may ask the page for what, from which names, and what its answers tell a browser to do."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import PINERY, wait_until
from tests.web.serving import TOKEN, Server, corpus, ended, serving

CSP = (
    "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a small corpus."""
    return corpus(tmp_path_factory.mktemp("safe"))


@pytest.fixture(scope="module")
def server(made: Path) -> Iterator[Server]:
    """A server that everybody on this machine may use, and edit by."""
    with serving(made, "--editable", PINERY_PAGE_HOSTS="page.example, other.example") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(made: Path) -> Iterator[Server]:
    """A server with a token."""
    with serving(made, "--editable", PINERY_TOKEN=TOKEN) as running:
        yield running


def token_of(client: httpx.Client, **headers: str) -> str:
    """The token that the first page shows."""
    found = re.search(r'<meta name="csrf" content="([0-9a-f]{64})">', client.get("/", headers=headers).text)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/api/corpora", {}, 200),
        ("GET", "/healthz", {}, 200),
        ("GET", "/static/style.css", {}, 200),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/api/items?limit=x", {}, 422),
        ("PUT", "/api/items", {}, 405),
        ("GET", "/", {"host": "evil.example"}, 421),
        ("POST", "/api/runs", {"origin": "http://evil.example"}, 403),
        ("GET", "/?" + "x" * 20_000, {}, 414),
        ("POST", "/api/runs", {"x-body": "large"}, 413),
    ],
)
def test_every_answer_has_the_headers_that_browsers_keep_to(
    server: Server, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    with server.client() as client:
        answer = client.request(method, path, headers=headers, content=b"x" * (2_000_000 if status == 413 else 0))
    assert answer.status_code == status
    assert answer.headers["content-security-policy"] == CSP
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:99", 200),
        ("localhost.", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("page.example:443", 200),
        ("other.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.1", 421),
        ("[fe80::1]", 421),
        ("[", 421),
        ("", 421),
    ],
)
def test_only_the_servers_own_names_are_answered(server: Server, host: str, status: int) -> None:
    with server.client() as client:
        assert client.get("/api/corpora", headers={"host": host}).status_code == status


def test_a_program_needs_no_token_of_a_page(server: Server) -> None:
    with server.client() as client:
        answer = client.post("/api/items?name=new.jpg", content=b"no image")
    assert answer.status_code == 400
    assert "new.jpg can't be added" in answer.json()["error"]


@pytest.mark.parametrize("shown", ["header", "form", "parts"])
def test_a_page_of_this_server_may_change_something_by_its_token(server: Server, shown: str) -> None:
    headers, csrf = {"origin": server.url}, {}
    with server.client() as client:
        token = token_of(client)
        if shown == "header":
            headers["x-csrf-token"] = token
        else:
            csrf = {"csrf": token}
        files = {"files": ("new.jpg", b"no image" * 100_000)} if shown == "parts" else None
        path = "/items" if shown == "parts" else "/items/delete"
        answer = client.post(path, data=csrf | {"id": "nothing"}, files=files, headers=headers)
        assert answer.status_code == 303
        said = client.get(answer.headers["location"]).text
    assert ("no image &#39;nothing&#39; is listed" if files is None else "new.jpg can&#39;t be added") in said


@pytest.mark.parametrize(
    ("headers", "with_token"),
    [
        ({"origin": "http://evil.example"}, True),
        ({"origin": "http://127.0.0.1"}, True),
        ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, True),
        ({"origin": "null", "sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "same-origin"}, True),  # a browser tells its origin too
        ({"cookie": "a=b"}, True),
        ({"origin": "OWN"}, False),
        ({"origin": "OWN", "sec-fetch-site": "same-origin"}, False),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, False),
        ({"origin": "null"}, False),
    ],
)
@pytest.mark.parametrize("path", ["/api/runs", "/runs", "/items", "/items/delete", "/logout", "/api/items?name=a.jpg"])
def test_a_browser_without_origin_or_token_changes_nothing(
    server: Server, path: str, headers: dict[str, str], with_token: bool
) -> None:
    headers = {name: server.url if value == "OWN" else value for name, value in headers.items()}
    with server.client() as client:
        if with_token:
            headers["x-csrf-token"] = token_of(client)
        answer = client.post(path, headers=headers)
        assert answer.status_code == 403, answer.text
        if path.startswith("/api/items"):
            assert client.delete("/api/items?id=red-0.jpg", headers=headers).status_code == 403
        running = client.get("/api/runs/current").json()
    assert running["exit_code"] is None
    assert not running["running"]


def test_a_form_under_no_referrer_sends_no_origin_but_its_token(server: Server) -> None:
    with server.client() as client:
        form = {"csrf": token_of(client), "id": "nothing"}
        assert client.post("/items/delete", data=form, headers={"origin": "null"}).status_code == 303


def test_a_search_by_post_comes_from_this_server_or_a_program(server: Server) -> None:
    with server.client() as client:
        for path in ("/api/search", "/search"):
            assert client.post(path, headers={"origin": "http://evil.example"}, content=b"x").status_code == 403
            assert client.post(path, headers={"origin": server.url}, content=b"x").status_code in (400, 422)


def test_a_token_that_stands_behind_much_else_is_not_looked_for(server: Server) -> None:
    with server.client() as client:
        token = token_of(client)
        form = b"filler=" + b"x" * 70_000 + b"&csrf=" + token.encode()
        kind = {"content-type": "application/x-www-form-urlencoded", "origin": server.url}
        assert client.post("/runs", content=form, headers=kind).status_code == 403


def test_another_host_than_this_machine_needs_a_token(made: Path) -> None:
    code, said = ended(made, "--host", "0.0.0.0")
    assert code == 2
    assert "set PINERY_TOKEN" in said


def test_a_program_learns_the_address_as_json(made: Path) -> None:
    command = [*PINERY, "serve", str(made), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert httpx.get(f"{told['url']}/healthz").status_code == 200
        process.terminate()
    assert (told["corpora"], process.returncode) == (["test"], 0)


def test_a_short_token_is_warned_of_and_not_shown(made: Path) -> None:
    with serving(made, "--host", "0.0.0.0", PINERY_TOKEN="short") as running:
        assert "PINERY_TOKEN has 5 characters" in running.log()
        assert "short" not in running.log()


def test_a_host_or_port_that_cannot_be_had_is_one_line(made: Path, server: Server) -> None:
    for arguments, words in (
        (("--port", str(server.port)), "is in use"),
        (("--host", "no.such.host.invalid", "--port", "0"), "there is no host"),
        (("--host", "192.0.2.1", "--port", "0"), "no address of this machine"),
    ):
        code, said = ended(made, *arguments, PINERY_TOKEN=TOKEN)
        assert (code, len(said.splitlines())) == (2, 1), said
        assert words in said


def test_whoever_shows_no_token_is_told_where_to(guarded: Server) -> None:
    with guarded.client() as client:
        for path in ("/", "/api/corpora", "/thumb?id=red-0.jpg", "/image?id=red-0.jpg", "/openapi.json", "/ready"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "red-" not in answer.text
        page = client.get("/search?id=red-0.jpg", headers={"accept": "text/html"})
        assert page.headers["location"] == "/login?next=%2Fsearch%3Fid%3Dred-0.jpg"
        assert client.get("/healthz").status_code == client.get("/static/style.css").status_code == 200
        assert client.get("/login").status_code == 200
        assert client.post("/api/items?name=a.jpg", content=b"x").status_code == 401


def test_a_program_sends_the_token_in_a_header(guarded: Server) -> None:
    with guarded.client() as client:
        ask = {"authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/corpora", headers=ask).status_code == 200
        assert client.post("/api/items?name=a.jpg", content=b"x", headers=ask).status_code == 400
        for wrong in (TOKEN[:-1], TOKEN + "x", "ü" * 3):
            headers = {"authorization": f"Bearer {wrong}".encode()}
            assert client.get("/api/corpora", headers=headers).status_code == 401


def test_a_browser_logs_in_once_and_out_again(guarded: Server) -> None:
    with guarded.client(headers={"origin": guarded.url, "accept": "text/html"}) as client:
        csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/login").text)
        assert csrf
        form = {"csrf": csrf[1], "next": "/status"}
        assert client.post("/login", data=form | {"token": "a-wrong-token-of-some-length"}).status_code == 403
        answer = client.post("/login", data=form | {"token": TOKEN})
        assert (answer.status_code, answer.headers["location"]) == (303, "/status")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie
        assert TOKEN not in cookie
        assert client.get("/status").status_code == 200
        assert client.post("/logout", data={"csrf": form["csrf"]}).status_code == 403  # the token before the login
        kept = dict(client.cookies)
        assert client.post("/logout", data={"csrf": token_of(client)}).status_code == 303
        client.cookies.update(kept)
        assert client.get("/status").status_code == 303


def test_behind_https_the_cookie_is_sent_over_https_alone(guarded: Server) -> None:
    name = f"127.0.0.1:{guarded.port}"
    with guarded.client(headers={"origin": f"https://{name}", "x-forwarded-proto": "https"}) as client:
        csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/login").text)
        assert csrf
        answer = client.post("/login", data={"csrf": csrf[1], "token": TOKEN})
        assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "next",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "evil", "/\r\nx: y", ""],
)
def test_a_login_leads_to_no_other_site(guarded: Server, next: str) -> None:
    with guarded.client(headers={"origin": guarded.url}) as client:
        csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/login", params={"next": next}).text)
        assert csrf
        answer = client.post("/login", data={"csrf": csrf[1], "token": TOKEN, "next": next})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_who_guesses_often_has_to_wait(made: Path) -> None:
    with serving(made, PINERY_TOKEN=TOKEN) as running, running.client() as client:
        right = {"authorization": f"Bearer {TOKEN}"}
        codes = [client.get("/api/corpora", headers={"authorization": f"Bearer {n}"}).status_code for n in range(9)]
        assert codes == [401] * 8 + [429]
        braked = client.get("/api/corpora", headers=right)
        assert braked.status_code == 429
        assert 0 < int(braked.headers["retry-after"]) <= 60
        elsewhere = right | {"x-forwarded-for": "203.0.113.7"}  # as a reverse proxy on this machine tells
        assert client.get("/api/corpora", headers=elsewhere).status_code == 200
        assert TOKEN not in running.log()


def test_a_signal_ends_the_server_at_once_whoever_is_connected(made: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with serving(made) as running, running.client() as client:
            client.get("/healthz")  # its connection is kept alive
            half = socket.create_connection(("127.0.0.1", running.port))
            half.sendall(b"GET / HTTP/1.1\r\nHost: local")
            idle = socket.create_connection(("127.0.0.1", running.port))
            began = time.monotonic()
            running.process.send_signal(number)
            assert running.process.wait(30) == 0
            assert time.monotonic() - began < 10
            assert running.log() == ""
            half.close()
            idle.close()


def test_a_fault_is_told_in_the_log_alone(tmp_path: Path) -> None:
    made = corpus(tmp_path)
    with serving(made) as running, running.client() as client:
        assert client.get("/api/items").status_code == 200
        for alias in (tmp_path / "state").rglob("alias.json"):
            alias.write_text("{")
        for listing in (tmp_path / "state").rglob("listings/*.parquet"):
            listing.write_bytes(b"PAR1 damaged")
        # What was read before counts for a second.
        wait_until(lambda: client.get("/api/search?id=red-0.jpg").status_code != 200)
        answer = client.get("/api/search?id=red-0.jpg")
        assert answer.status_code in (500, 503)
        assert str(tmp_path) not in answer.text
        assert "Traceback" not in answer.text
        if answer.status_code == 500:
            assert "Traceback" in running.log()
