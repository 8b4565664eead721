"""The door of a server that has a token: it lets in programs that send the token, and browsers that logged in."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlencode, urlsplit

from cachetools import TTLCache
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pinery.web.brake import Brake
from pinery.web.refusals import refuse, wants_page

SESSION_SECONDS, SESSIONS = 12 * 3600.0, 1000
OPEN = {"/healthz", "/login"}
"""The paths that are answered without a login, beside the files that the login page needs."""


class Doorkeeper:
    """Knows a server's token and the sessions of those who logged in; a restart of the server ends all of them."""

    def __init__(self, token: str | None) -> None:
        self.brake = Brake()
        self.closed = token is not None
        self._token = _digest(token or "")
        self._sessions: TTLCache[bytes, bool] = TTLCache(SESSIONS, SESSION_SECONDS)

    def is_token(self, given: str) -> bool:
        """Return whether that is the token, in the same time for every wrong one."""
        return self.closed and hmac.compare_digest(_digest(given), self._token)

    def begin(self) -> str:
        """Begin a session and return its secret name."""
        session = secrets.token_urlsafe(32)
        self._sessions[_digest(session)] = True
        return session

    def knows(self, session: str) -> bool:
        """Return whether that session goes on."""
        return _digest(session) in self._sessions

    def end(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(session), None)


class Access:
    """Lets in whom the doorkeeper knows (ASGI); `request.state.session` is the name of the session, or empty."""

    def __init__(self, app: ASGIApp, *, doorkeeper: Doorkeeper) -> None:
        self._app, self._doorkeeper = app, doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it: with 401, with 429 after too many guesses, or with the way to the login."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope.setdefault("state", {})["session"] = session = self._session(scope)
        refusal = None if session or not self._doorkeeper.closed or _is_open(scope) else self._judge(scope)
        return await (refusal or self._app)(scope, receive, send)

    def _session(self, scope: Scope) -> str:
        given = Request(scope).cookies.get(cookie_name(scope), "") if self._doorkeeper.closed else ""
        return given if given and self._doorkeeper.knows(given) else ""

    def _judge(self, scope: Scope) -> Response | None:
        kind, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        address = address_of(scope)
        if kind.lower() == "bearer":
            if wait := self._doorkeeper.brake.wait(address):
                return too_many(scope, wait)
            if self._doorkeeper.is_token(given.strip()):
                return None
            self._doorkeeper.brake.failed(address)
        if wants_page(scope) and scope["method"] in ("GET", "HEAD"):
            asked = str(scope["path"]) + ("?" + scope["query_string"].decode("latin-1")) * bool(scope["query_string"])
            return RedirectResponse("/login?" + urlencode({"next": asked}), 303)
        sentence = "this server asks for a token: log in at /login, or send it as `Authorization: Bearer TOKEN`"
        return refuse(scope, 401, sentence, {"www-authenticate": "Bearer"})


def too_many(scope: Scope, wait: int) -> Response:
    """Return the answer to an address that guessed too often."""
    sentence = f"too many wrong tokens came from your address; try again in {wait} s"
    return refuse(scope, 429, sentence, {"retry-after": str(wait)})


def address_of(scope: Scope) -> str:
    """Return the address that a request comes from."""
    return str((scope.get("client") or ("",))[0])


def cookie_name(scope: Scope) -> str:
    """Return the name of the session's cookie: browsers send cookies to every port of a host."""
    return f"pinery-{(scope.get('server') or ('', 0))[1]}"


def own_path(next: str) -> str:
    """Return `next` where it is a path of this server, else the path of the first page."""
    plain = next.startswith("/") and not next.startswith("//") and "\\" not in next and next.isprintable()
    try:
        parts = urlsplit(next)
    except ValueError:
        return "/"
    return next if plain and next.isascii() and not parts.scheme and not parts.netloc else "/"


def _is_open(scope: Scope) -> bool:
    return scope["path"] in OPEN or scope["path"].startswith("/static/")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
