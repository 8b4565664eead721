"""A bound on the bytes that are fetched before their turn comes."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError


class Backlog:
    """Lets fetching threads go on as long as what they have fetched, and nobody has taken, is less than `room` bytes.

    What they fetch is taken in turns. What has its turn may always be fetched, or nothing would ever be taken.
    """

    def __init__(self, room: int) -> None:
        self._room, self._held, self._turn = room, 0, 0
        self._open = True
        self._changed = threading.Condition()

    def wait(self, turn: int) -> None:
        """Waits until there is room for more of a turn. Raises CancelledError once the backlog is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._held < self._room or turn <= self._turn or not self._open)
            if not self._open:
                raise CancelledError

    def fetched(self, size: int) -> None:
        """So many bytes were fetched."""
        with self._changed:
            self._held += size

    def taken(self, size: int) -> None:
        """The next turn, of so many bytes, was taken."""
        with self._changed:
            self._held -= size
            self._turn += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Lets nothing through from now on, and nobody wait."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
