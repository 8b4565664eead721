"""Connections that cost the others nothing: those that are slow, idle or too many are closed."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""The time for the head of a request, from its first byte or from the start of the connection on."""
BODY_SECONDS, BODY_BYTES_PER_SECOND = 15.0, 16_384
"""After so many seconds, a body must have come at this speed, on average."""
STUCK_SECONDS = 30.0
"""The time in which some of an answer must be taken."""
LINGER_SECONDS, LINGER_BYTES = 3.0, 8 << 20
"""The bytes of a body that are still read after its request was answered: closing the connection loses the answer."""
HEAD_BYTES = 64 << 10
CONNECTIONS = 256
WATCH_SECONDS = 1.0
TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b'content-length: 43\r\n\r\n{"error":"too many connections; try again"}'
)


class PatientConnection(H11Protocol):
    """A connection of uvicorn's that is given up when its other end is too slow, of which uvicorn takes no notice.

    Where there are too many, the one that has waited longest for a request is closed in favour of a new one.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._watch: asyncio.TimerHandle | None = None
        self._head_since: float | None = None
        self._body_since: float | None = None
        self._stuck_since: float | None = None
        self._answered_since: float | None = None
        self._body_bytes = self._late_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS and not self._make_room():
            transport.write(TOO_MANY)
            transport.close()
            return
        self._head_since = self.loop.time()
        self._watch_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and note what it is a part of."""
        if self._answered_since is not None:
            self._late_bytes += len(data)
            if self._late_bytes > LINGER_BYTES:
                self.transport.close()
                return
        elif self._body_since is not None:
            self._body_bytes += len(data)
        elif self._head_since is None and self.is_waiting:
            self._head_since = self.loop.time()
        super().data_received(data)
        if self.conn.their_state is h11.DONE and self.conn.trailing_data[0] and self.cycle.response_complete is False:
            self.cycle.keep_alive = False  # one request after another: who sends more before an answer has one answered
        self._note_state()

    def on_response_complete(self) -> None:
        """Note that an answer went out, perhaps before its request was whole."""
        self._head_since = None
        if self.conn.their_state is h11.SEND_BODY:
            self._answered_since, self._late_bytes = self.loop.time(), 0
        super().on_response_complete()
        self._note_state()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; in the middle of an answer, only give up."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Note that the other end takes no more for now."""
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._stuck_since = None
        super().resume_writing()

    @property
    def is_waiting(self) -> bool:
        """True where no request is being received or answered."""
        return self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete)

    def _note_state(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self._body_since = self._answered_since = None
            return
        self._head_since = None
        if self.conn.their_state is not h11.SEND_BODY:
            self._body_since = self._answered_since = None
        elif self._body_since is None:
            self._body_since, self._body_bytes = self.loop.time(), 0

    def _watch_on(self) -> None:
        self._watch = self.loop.call_later(WATCH_SECONDS, self._look)

    def _look(self) -> None:
        if self._is_too_slow(self.loop.time()):
            self.transport.abort()
        else:
            self._watch_on()

    def _is_too_slow(self, now: float) -> bool:
        if self._stuck_since is not None and now - self._stuck_since > STUCK_SECONDS:
            return True
        if self._head_since is not None and now - self._head_since > HEAD_SECONDS:
            return True
        if self._answered_since is not None:
            return now - self._answered_since > LINGER_SECONDS
        if self._body_since is None or self.flow.read_paused:
            return False  # what isn't read because the server has enough of it for now is not slow
        taken = now - self._body_since
        return taken > BODY_SECONDS and self._body_bytes < BODY_BYTES_PER_SECOND * taken

    def _make_room(self) -> bool:
        waiting = [one for one in self.connections if isinstance(one, PatientConnection) and one.is_waiting]
        others = [one for one in waiting if one is not self and not one.transport.is_closing()]
        if not others:
            return False
        # One that is kept alive between requests goes before one that is sending.
        min(others, key=lambda one: one._head_since or 0.0).transport.abort()
        return True
