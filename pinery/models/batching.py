"""How many images a model is given at once: as many as make it faster, and no more than its memory holds."""

from __future__ import annotations

WARM_UPS = 1
"""Timings of a size that don't count: the first has compilation, allocation and cold caches in it."""
SAMPLES = 3
"""Timings of a size that do. The best of them stands for it: what else the machine does only ever adds to a timing."""
GAIN = 1.05
"""How much faster per image twice the size must be to be worth its memory."""


class BatchSize:
    """A size that doubles until doubling no longer pays, and then stays; want of memory halves it for good.

    Pure: it is told what was measured. A fixed size only ever gives way to want of memory.
    """

    def __init__(self, start: int, limit: int, *, fixed: bool = False) -> None:
        """`start` is the first size, `limit` the largest to be tried; both in images, at least 1."""
        self.size = min(start, limit)
        self.settled = fixed or self.size == limit
        self._limit = limit
        self._best, self._best_rate = self.size, 0.0
        self._seen: list[float] = []

    def took(self, images: int, seconds: float) -> None:
        """A batch of `images` took the model so many seconds; batches of another size than `size` tell nothing."""
        if self.settled or images != self.size:
            return
        self._seen.append(seconds)
        if len(self._seen) < WARM_UPS + SAMPLES:
            return
        rate = images / max(min(self._seen[WARM_UPS:]), 1e-9)
        self._seen = []
        if rate < self._best_rate * GAIN:
            self._settle(self._best)
        else:
            self._best, self._best_rate = images, rate
            self.size = min(2 * images, self._limit)
            self.settled = self.size == images

    def cap(self, limit: int) -> None:
        """Never try more than `limit` images."""
        self._limit = max(1, min(self._limit, limit))
        if self.size > self._limit:
            self._settle(self._limit)

    def out_of_memory(self, images: int) -> int:
        """A batch of `images` didn't fit into memory; return the size to go on with: half of it, or less."""
        self._settle(min(self.size, max(1, images // 2)))
        return self.size

    def _settle(self, size: int) -> None:
        self.size, self.settled, self._seen = size, True, []
