"""Requests that change something come from the server's own pages, or from a program that isn't a browser."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from python_multipart import MultipartParser, QuerystringParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pinery.web.refusals import refuse

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
SEARCHES = {"/api/search", "/search"}
"""A form that is posted there changes nothing, so it need not show the token of a page."""
LOOKED_THROUGH = 64 * 1024
"""The bytes of a form in which its field `csrf` must stand."""
DEFAULT_PORTS = {"http": "80", "https": "443"}


class OneOrigin:
    """Lets a browser change something only from a page of this server (ASGI); `request.state.csrf` is its token.

    A browser is what sends `Origin`, `Sec-Fetch-Site` or `Cookie`. It shows the token in the header `X-CSRF-Token`, or
    in the field `csrf` of a form, before its files. Programs such as curl need none of that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._secret = app, secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 403."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state = scope.setdefault("state", {})
        token = state["csrf"] = self._token(state.get("session", ""))
        headers = Headers(scope=scope)
        if scope["method"] in SAFE_METHODS or not is_browser(headers):
            return await self._app(scope, receive, send)
        told = origin_told(headers)
        if told is False:
            sentence = "this request comes from a page of another site, which may change nothing here"
            return await refuse(scope, 403, sentence)(scope, receive, send)
        if told is None or scope["path"] not in SEARCHES:
            shown = headers.get("x-csrf-token")
            if shown is None:
                form = Peeked(receive)
                shown, receive = await form.field("csrf", headers.get("content-type", "")), form.again
            if shown is None or not hmac.compare_digest(shown.encode(), token.encode()):
                sentence = "this page is older than the server or your login; load it again, and try once more"
                return await refuse(scope, 403, sentence)(scope, receive, send)
        return await self._app(scope, receive, send)

    def _token(self, session: str) -> str:
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()


def is_browser(headers: Headers) -> bool:
    """Return whether a request says that it comes from a browser."""
    return any(name in headers for name in ("origin", "sec-fetch-site", "cookie"))


def origin_told(headers: Headers) -> bool | None:
    """Return whether a browser sends a request from a page of this server; None where it keeps that to itself.

    Under `Referrer-Policy: no-referrer` browsers send `Origin: null` with forms, and tell `Sec-Fetch-Site` only over
    HTTPS and to this machine.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    if origin == "null":
        return True if site else None
    return origin is not None and _address(origin) == _address(f"{_scheme(origin)}://{headers.get('host', '')}")


def _scheme(origin: str) -> str:
    return origin.partition("://")[0]


def _address(origin: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or parts.path or parts.query or parts.fragment or not parts.hostname:
        return None
    return parts.hostname, str(port) if port is not None else DEFAULT_PORTS[parts.scheme]


class Peeked:
    """The beginning of a body, looked through for a field of a form, and then given once more."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []
        self._given = 0

    async def again(self) -> Message:
        """Return the next message of the body, from its first on."""
        if self._given < len(self._messages):
            self._given += 1
            return self._messages[self._given - 1]
        return await self._receive()

    async def field(self, name: str, content_type: str) -> str | None:
        """Return the value of a field, as far as it stands in the beginning of a form; None where it doesn't."""
        kind, options = parse_options_header(content_type)
        found = _Found(name)
        parser: MultipartParser | QuerystringParser
        if kind == b"multipart/form-data" and options.get(b"boundary"):
            parser = MultipartParser(options[b"boundary"], found.multipart())
        elif kind == b"application/x-www-form-urlencoded":
            parser = QuerystringParser(found.urlencoded())
        else:
            return None
        try:
            async for data in self._beginning():
                parser.write(data)
                if found.value is not None:
                    return found.value
            if isinstance(parser, QuerystringParser):
                parser.finalize()
        except FormParserError:
            return None
        return found.value

    async def _beginning(self) -> AsyncIterator[bytes]:
        seen = 0
        while seen < LOOKED_THROUGH:
            message = await self._receive()
            self._messages.append(message)
            body = message.get("body", b"")
            yield body[: LOOKED_THROUGH - seen]
            seen += len(body)
            if message["type"] != "http.request" or not message.get("more_body"):
                return


class _Found:
    """Gathers the value of the first field of a name, as the parsers call it."""

    def __init__(self, name: str) -> None:
        self._wanted = name.encode()
        self._name, self._header, self._disposition, self._data = bytearray(), bytearray(), bytearray(), bytearray()
        self.value: str | None = None

    def multipart(self) -> Any:
        """Return the callbacks of a parser of parts."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": self._header_value,
            "on_header_end": self._header.clear,
            "on_headers_finished": self._named,
            "on_part_data": self._more,
            "on_part_end": self._end,
        }

    def urlencoded(self) -> Any:
        """Return the callbacks of a parser of a query."""
        return {
            "on_field_start": self._begin,
            "on_field_name": lambda data, start, end: self._name.extend(data[start:end]),
            "on_field_data": self._more,
            "on_field_end": self._end,
        }

    def _begin(self) -> None:
        for one in (self._name, self._header, self._disposition, self._data):
            one.clear()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition += data[start:end]

    def _named(self) -> None:
        self._name += parse_options_header(bytes(self._disposition))[1].get(b"name", b"")

    def _more(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _end(self) -> None:
        if self.value is None and self._name == self._wanted:
            self.value = self._data.decode("latin-1")
