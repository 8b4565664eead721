"""A bound on the pixels that are in memory at once, shared by the threads that decode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PIXELS_AT_ONCE = 128_000_000
"""Of all images being decoded or preprocessed in one run: at up to about 20 bytes per pixel (an animated WebP; PNG and
JPEG take about 10), 2.5 GB."""
UNCOUNTED_PIXELS = 2_000_000
"""Of one image: so few on each core need no budget."""


class PixelBudget:
    """Lets threads in as long as their images have no more than `total` pixels together.

    An image larger than `total` is let in alone.
    """

    def __init__(self, total: int = PIXELS_AT_ONCE) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Waits until `pixels` fit in, and keeps them taken inside the `with`."""
        taken = min(pixels, self._total)
        with self._changed:
            self._changed.wait_for(lambda: taken <= self._free)
            self._free -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()
