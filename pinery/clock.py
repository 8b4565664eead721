"""A clock that runs on while the machine sleeps."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)
"""Linux' CLOCK_MONOTONIC stands still during suspend, CLOCK_BOOTTIME doesn't; macOS' CLOCK_MONOTONIC runs on."""


def boottime() -> float:
    """Return seconds since some moment in the past, those of suspend included where the system counts them."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
