"""When the attempt at a request began that a thread is at: what would be sent late must not be sent at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)
"""One that runs on while the machine sleeps, where there is one."""
_began: ContextVar[float | None] = ContextVar("began", default=None)


def now() -> float:
    """Seconds since some moment in the past."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


@contextmanager
def attempt() -> Iterator[None]:
    """An attempt at a request begins here, before it is asked whether it may be sent."""
    token = _began.set(now())
    try:
        yield
    finally:
        _began.reset(token)


def began() -> float:
    """When this thread's attempt began; now, if it is at none."""
    found = _began.get()
    return now() if found is None else found
