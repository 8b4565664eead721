"""Sends a request to Pinecone's data plane once, within a given time, and not at all when it would be late.

A process may be stopped, or its machine put to sleep, after it has checked the lease and before it has sent the
request. So the time runs from the check on, and the body goes out in pieces, each after another look at the clock. When
the process ends or gives up, the kernel throws away what was not sent yet, instead of delivering it later.
"""

import socket
import struct
from collections.abc import Iterator

import httpx

from pinery.clock import boottime
from pinery.indexes.attempt import began

PIECE_BYTES = 1 << 17
SENDING, PIECE, ANSWER = 1 / 3, 1 / 6, 1 / 2
"""The shares of a request's longest life for sending it, for its last piece, and for waiting for the answer."""


class LateError(httpx.WriteTimeout):
    """The request could not be sent as a whole within its time, so it can take no effect."""


class OnceTransport(httpx.HTTPTransport):
    """Sends each request once; the request is over `seconds` after its attempt began, whatever became of it."""

    def __init__(self, connections: int, seconds: float) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections // 2)
        super().__init__(limits=limits, socket_options=_socket_options(seconds))
        self._seconds = seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the answer. Raises LateError where it is too late, and httpx' errors."""
        request.stream = _Punctual(request, began() + SENDING * self._seconds)
        piece, answer = PIECE * self._seconds, ANSWER * self._seconds
        request.extensions["timeout"] = {"connect": piece, "pool": piece, "write": piece, "read": answer}
        try:
            return super().handle_request(request)
        except httpx.TransportError as error:
            error.request = request  # the SDK's message names its host
            raise


class _Punctual(httpx.SyncByteStream):
    """A request's body in pieces, none of which goes out after `until`, in seconds as `boottime` counts them."""

    def __init__(self, request: httpx.Request, until: float) -> None:
        assert isinstance(request.stream, httpx.SyncByteStream)
        self._request, self._body, self._until = request, request.stream, until
        self._check()

    def __iter__(self) -> Iterator[bytes]:
        self._check()
        for body in self._body:
            for start in range(0, len(body), PIECE_BYTES):
                self._check()
                yield body[start : start + PIECE_BYTES]

    def close(self) -> None:
        self._body.close()

    def _check(self) -> None:
        if boottime() >= self._until:
            raise LateError("the request could not be sent in time", request=self._request)


def _socket_options(seconds: float) -> list[tuple[int, int, int] | tuple[int, int, bytes]]:
    options: list[tuple[int, int, int] | tuple[int, int, bytes]] = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
    ]
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(ANSWER * seconds * 1000)))
    return options
