"""A bound on the bytes that are fetched before it is their turn to be embedded."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError


class Backlog:
    """Lets fetching threads go on as long as fewer than `room` bytes have been fetched and not taken yet.

    Items are fetched in numbered turns and taken in the same order. The turn that is taken next may always be fetched,
    as otherwise nothing would ever be taken.
    """

    def __init__(self, room: int) -> None:
        self._room, self._held, self._turn = room, 0, 0
        self._open = True
        self._changed = threading.Condition()

    def wait(self, turn: int) -> None:
        """Wait until there is room to fetch an item of a turn. Raises CancelledError once the backlog is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._held < self._room or turn <= self._turn or not self._open)
            if not self._open:
                raise CancelledError

    def fetched(self, size: int) -> None:
        """Note that an item of `size` bytes was fetched."""
        with self._changed:
            self._held += size

    def taken(self, size: int) -> None:
        """Note that the next turn, of `size` bytes, was taken."""
        with self._changed:
            self._held -= size
            self._turn += 1
            self._changed.notify_all()

    def close(self) -> None:
        """End all waits, now and from now on, with CancelledError."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
