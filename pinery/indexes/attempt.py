"""Knows when a thread's attempt at a request began: a request that would go out late must not be sent at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)
"""A clock that runs on while the machine sleeps, where there is one."""
_began: ContextVar[float | None] = ContextVar("began", default=None)


def now() -> float:
    """Return the seconds since some fixed moment in the past."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


@contextmanager
def attempt() -> Iterator[None]:
    """Note that an attempt at a request begins; to be entered before the check of whether it may be sent."""
    token = _began.set(now())
    try:
        yield
    finally:
        _began.reset(token)


def began() -> float:
    """Return when this thread's attempt began, or the present moment where it makes none, as `now` counts."""
    found = _began.get()
    return now() if found is None else found
