"""Parts made outside of a run: nothing is known before, and somebody watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from pinery.embedding.columns import Vector
from pinery.embedding.job import Progress


class NoVectors:
    """A checkpoint without vectors."""

    def find(self, sha256: Sequence[str]) -> Mapping[str, Vector]:  # noqa: ARG002
        """Return nothing."""
        return {}


class Watch:
    """Remembers at what time how many images were done. Parts may share it."""

    stopping = False

    def __init__(self) -> None:
        self.done = [(time.time(), 0)]
        self.notes: list[str] = []
        self._lock = threading.Lock()

    def on_batch(self, progress: Progress) -> None:
        """Note the time."""
        with self._lock:
            self.done.append((time.time(), self.done[-1][1] + progress.items))

    def note(self, text: str) -> None:
        """Keep what a run would tell."""
        self.notes.append(text)

    def steady(self) -> tuple[float, float, float]:
        """Return the images per second from a third of the images on, and when that began and ended."""
        total = self.done[-1][1]
        warm = next(at for at, (_, done) in enumerate(self.done) if done >= total / 3)
        (first, before), (last, done) = self.done[warm], self.done[-1]
        return (done - before) / (last - first), first, last
