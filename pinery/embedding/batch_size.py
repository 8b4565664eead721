"""The number of images that a model is given at once: those that make it fastest, and fit into its memory."""

from __future__ import annotations

WARM_UPS = 1
"""The first timings of a size don't count: they include compilation, allocation and cold caches."""
SAMPLES = 3
"""As many timings of a size count. The best one is taken, because other work on the machine only adds to a timing."""
GAIN = 1.05
"""Twice the size must be so many times faster per image to be worth its memory."""


class BatchSize:
    """A size that doubles until doubling no longer pays, and then stays; where memory runs out, it is halved for good.

    It measures nothing itself. A fixed size changes only where memory runs out.
    """

    def __init__(self, start: int, limit: int, *, fixed: bool = False) -> None:
        """`start` is the first size, `limit` the largest to be tried; both in images, at least 1."""
        self.size = min(start, limit)
        self.settled = fixed or self.size == limit
        self._limit = limit
        self._best, self._best_rate = self.size, 0.0
        self._seen: list[float] = []

    def took(self, images: int, seconds: float) -> None:
        """Note how many seconds a batch of `images` took the model; batches of another size than `size` are ignored."""
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
        """Try no more than `limit` images from now on."""
        self._limit = max(1, min(self._limit, limit))
        if self.size > self._limit:
            self._settle(self._limit)

    def out_of_memory(self, images: int) -> int:
        """Note that a batch of `images` didn't fit into memory; return the size to go on with: half of it, or less."""
        self._settle(min(self.size, max(1, images // 2)))
        return self.size

    def _settle(self, size: int) -> None:
        self.size, self.settled, self._seen = size, True, []
