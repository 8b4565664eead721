"""Knows when a thread's attempt at a request began: a request that would go out late must not be sent at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pinery.clock import boottime

_began: ContextVar[float | None] = ContextVar("began", default=None)


@contextmanager
def attempt() -> Iterator[None]:
    """Note that an attempt at a request begins; to be entered before the check of whether it may be sent."""
    token = _began.set(boottime())
    try:
        yield
    finally:
        _began.reset(token)


def began() -> float:
    """Return when this thread's attempt began, or the present moment where it makes none, as `boottime` counts."""
    found = _began.get()
    return boottime() if found is None else found
