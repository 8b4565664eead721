"""Adds up where the threads of a part spend their time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Clock:
    """Adds up the seconds that threads spend on each kind of work, as the mean over the threads that do it."""

    def __init__(self, timings: dict[str, float], threads: Mapping[str, int]) -> None:
        """Add to `timings`; `threads` says for each kind of work how many threads usually do it."""
        self._timings, self._threads = timings, threads
        self._lock = threading.Lock()
        for name in threads:
            timings.setdefault(name, 0.0)

    @contextmanager
    def measure(self, name: str, threads: int | None = None) -> Iterator[None]:
        """Add the seconds spent inside the `with`; `threads` do this work, or by default the usual number."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = (time.perf_counter() - start) / (threads or self._threads[name])
            with self._lock:
                self._timings[name] += seconds
