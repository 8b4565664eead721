"""A bound on the pixels that are in memory at once, shared by the threads that decode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PIXELS_AT_ONCE = 128_000_000
"""The most pixels of all images that one run decodes or preprocesses at once. They take up to 2.5 GB, at about 20 bytes
per pixel for an animated WebP; PNG and JPEG take about 10."""
UNCOUNTED_PIXELS = 2_000_000
"""An image of at most this many pixels needs no budget, as each core decodes only one of them at a time."""


class PixelBudget:
    """Lets threads go on as long as their images have at most `total` pixels together.

    An image of more than `total` pixels has to wait until it is alone.
    """

    def __init__(self, total: int = PIXELS_AT_ONCE) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` more fit into the budget, and count them inside the `with`."""
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
