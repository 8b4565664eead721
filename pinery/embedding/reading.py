"""Reads the items of a part ahead of their turn: on threads, in pieces of neighbours, within a bound of bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import NamedTuple

from pinery.embedding.clock import Clock
from pinery.embedding.columns import Batch
from pinery.imaging.prepare import no_memory
from pinery.sources.protocol import Fetched

Read = Callable[[int, int], Sequence[Fetched]]
"""Reads the items from one place in a part to another (exclusive); threads call it side by side."""

BYTES_AHEAD = 256 << 20
"""Bytes of encoded images that are read before their turn; those in batches may be as many again."""
UNKNOWN_BYTES = 4 << 20
"""The size assumed of an item whose source doesn't say it, until a larger one was read."""
FEW_TOGETHER, MOST_TOGETHER = 8, 32
"""Items that a thread reads in a row while there are enough for all threads, and the most that large batches allow:
to hand over one at a time would take as long as to read it."""
PIECE_BYTES = 1 << 20
"""Bytes that a thread reads in a row at most, unless a single item has more."""


class _Piece(NamedTuple):
    """Items that one thread reads in a row."""

    size: int
    """The bytes that they were expected to have."""
    batch: Future[Batch]


class Reader:
    """Hands out the items of one part in order. Used by one thread."""

    def __init__(self, read: Read, sizes: Sequence[int], clock: Clock, pool: Executor, threads: int) -> None:
        """Read nothing yet.

        Args:
            read: reads a range of items.
            sizes: each item's bytes as listed, -1 where the source doesn't say.
            clock: gets the seconds of reading, as `fetch`.
            pool: reads on its threads.
            threads: the number of these threads.
        """
        self._read, self._sizes, self._clock, self._pool, self._threads = read, sizes, clock, pool, threads
        self._pieces: deque[_Piece] = deque()
        self._ready = Batch(0, [], [])
        self._submitted = self._taken = self._bytes_ahead = self._bytes_ready = 0
        self._unknown = UNKNOWN_BYTES

    @property
    def left(self) -> int:
        """The number of items that were not taken yet."""
        return len(self._sizes) - self._taken

    def take(self, wanted: int, room: int) -> Batch:
        """Return the next items: `wanted` of them, or fewer at the end, or once they have `room` bytes together."""
        self._read_ahead(wanted)
        while self._ready.items < min(wanted, self.left) and self._bytes_ready < room:
            self._wait()
            self._read_ahead(wanted)
        rows, size = 0, 0
        while rows < min(wanted, self._ready.items) and size < room:
            size += len(self._ready.data[rows] or b"")
            rows += 1
        self._taken += rows
        self._bytes_ready -= size
        return self._ready.cut(rows)

    def _read_ahead(self, wanted: int) -> None:
        left, threads = len(self._sizes) - self._submitted, 2 * self._threads  # two pieces for each, so that none waits
        together = max(1, min(FEW_TOGETHER, left // threads), min(MOST_TOGETHER, wanted // threads))
        ahead = min(len(self._sizes), self._taken + 2 * max(wanted, self._threads * together))
        while self._submitted < ahead and (self._bytes_ahead < BYTES_AHEAD or not self._pieces):
            start, size = self._submitted, 0
            while self._submitted < min(ahead, start + together) and size < PIECE_BYTES:
                listed = self._sizes[self._submitted]
                size += listed if listed >= 0 else self._unknown
                self._submitted += 1
            self._pieces.append(_Piece(size, self._pool.submit(self._piece, start, self._submitted)))
            self._bytes_ahead += size

    def _wait(self) -> None:
        piece = self._pieces.popleft()
        batch = piece.batch.result()
        self._ready.extend(batch)
        sizes = [len(data) for data in batch.data if data]
        self._bytes_ahead -= piece.size
        self._bytes_ready += sum(sizes)
        self._unknown = max([self._unknown, *sizes])

    def _piece(self, start: int, stop: int) -> Batch:
        try:
            with self._clock.measure("fetch"):
                return Batch.read(start, self._read(start, stop))
        except MemoryError as error:
            raise no_memory() from error
