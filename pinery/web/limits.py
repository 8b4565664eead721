"""Limits on what one request, and all of them at once, may take of the server."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pinery.web.refusals import refuse

QUERY_BYTES = 16_384
"""The bytes that the query of a URL may have."""
REQUESTS_AT_ONCE, UPLOADS_AT_ONCE, DECODING_AT_ONCE = 64, 32, 8
"""Requests that are answered at once, bodies that are received at once, and requests among the first for which an image
of a visitor is decoded."""
BODY_BYTES_AT_ONCE = 512 << 20
"""The bytes of all bodies that are received and answered at once."""
FORM_BYTES = 256 << 10
"""The bytes that a form may have beside its image, and that may be sent to paths that take no image."""
NEVER_BUSY = {"/healthz"}
IMAGES, FORMS_OF_IMAGES = {"/api/search", "/api/items", "/search"}, {"/items"}
SEARCHES = {"/api/search", "/search", "/api/compare", "/compare"}
BUSY = "the server has as much to do as it takes at once; try again in a moment"
RETRY = {"retry-after": "1"}
MOST_FILES = 100
"""The images that one form may add."""


class Limits:
    """Refuses what is too large, and what comes while too much is under way (ASGI).

    `image_bytes` is the largest image that any corpus takes. A request counts while its answer is being made: neither
    who sends slowly nor who reads slowly is in the way of others.
    """

    def __init__(self, app: ASGIApp, *, image_bytes: int, at_once: int = REQUESTS_AT_ONCE) -> None:
        self._app, self._image_bytes, self._at_once = app, image_bytes, at_once
        self._answering = self._decoding = self._receiving = self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 413, 414 or 503."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if len(scope["query_string"]) > QUERY_BYTES:
            sentence = f"the address is too long: {QUERY_BYTES:,} bytes of parameters are allowed"
            return await refuse(scope, 414, sentence)(scope, receive, send)
        most, headers = self._most(scope), Headers(scope=scope)
        claimed = int(headers.get("content-length") or 0)  # which h11 has checked
        if claimed > most:
            return await refuse(scope, 413, _too_large(most))(scope, receive, send)
        if scope["path"] in NEVER_BUSY:
            return await self._app(scope, receive, send)
        has_body, decodes = claimed > 0 or "transfer-encoding" in headers, _decodes(scope)
        if (has_body and self._receiving >= UPLOADS_AT_ONCE) or self.is_busy(decodes):
            return await refuse(scope, 503, BUSY, RETRY)(scope, receive, send)
        return await Counted(self, scope, receive, send, most, has_body, decodes).pass_on(self._app)

    def _most(self, scope: Scope) -> int:
        if scope["method"] == "POST" and scope["path"] in IMAGES:
            return self._image_bytes + FORM_BYTES
        if scope["method"] == "POST" and scope["path"] in FORMS_OF_IMAGES:
            return min(MOST_FILES * self._image_bytes, BODY_BYTES_AT_ONCE // 2) + FORM_BYTES
        return FORM_BYTES

    def is_busy(self, decodes: bool) -> bool:
        """Return whether no further request can be answered now, one for which an image is decoded or any."""
        return self._answering >= self._at_once or (decodes and self._decoding >= DECODING_AT_ONCE)

    def count(self, *, answering: int = 0, decoding: int = 0, receiving: int = 0, bytes: int = 0) -> None:
        """Count requests that begin or end, and bytes that are held or let go of."""
        self._answering += answering
        self._decoding += decoding
        self._receiving += receiving
        self._bytes += bytes

    @property
    def is_full(self) -> bool:
        """True where the bodies of all requests take as much as they may."""
        return self._bytes > BODY_BYTES_AT_ONCE


class Refused(HTTPException):
    """A body is refused while it is received."""


class Counted:
    """One request that is counted: first while its body is received, then until its answer begins."""

    def __init__(
        self, limits: Limits, scope: Scope, receive: Receive, send: Send, most: int, has_body: bool, decodes: bool
    ) -> None:
        self._limits, self._scope, self._receive, self._send = limits, scope, receive, send
        self._most, self._decodes = most, decodes
        self._is_receiving, self._is_answering = has_body, False
        self._bytes, self._began = 0, False

    async def pass_on(self, app: ASGIApp) -> None:
        """Have the request answered."""
        self._limits.count(receiving=int(self._is_receiving))
        try:
            if not self._is_receiving:
                self._begin_answering()
            await app(self._scope, self._received, self._sent)
        except Refused as error:
            if self._began:
                raise
            answer = refuse(self._scope, error.status_code, error.detail, error.headers)
            await answer(self._scope, self._receive, self._send)
        finally:
            self._end_receiving()
            self._end_answering()
            self._limits.count(bytes=-self._bytes)

    async def _received(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            self._end_receiving()
            return message
        size = len(message.get("body", b""))
        self._bytes += size
        self._limits.count(bytes=size)
        if self._bytes > self._most:
            raise Refused(413, _too_large(self._most))
        if size and self._limits.is_full:
            raise Refused(503, BUSY, RETRY)
        if not message.get("more_body") and self._is_receiving:
            self._end_receiving()
            self._begin_answering()
        return message

    async def _sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._began = True
        elif message.get("body"):
            self._end_receiving()
            self._end_answering()
        await self._send(message)

    def _begin_answering(self) -> None:
        if self._decodes and self._limits.is_busy(decodes=True):
            raise Refused(503, BUSY, RETRY)
        self._is_answering = True
        self._limits.count(answering=1, decoding=int(self._decodes))

    def _end_receiving(self) -> None:
        if self._is_receiving:
            self._is_receiving = False
            self._limits.count(receiving=-1)

    def _end_answering(self) -> None:
        if self._is_answering:
            self._is_answering = False
            self._limits.count(answering=-1, decoding=-int(self._decodes))


def _decodes(scope: Scope) -> bool:
    if scope["method"] == "POST":
        return scope["path"] in IMAGES | FORMS_OF_IMAGES
    return scope["path"] in SEARCHES and b"image=" in scope["query_string"]


def _too_large(most: int) -> str:
    return f"the body is too large: {most:,} bytes are allowed here"
