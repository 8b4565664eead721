"""What the C library does with memory that a batch has left: it is to keep it for the next one."""

from __future__ import annotations

import ctypes
import os

ARENA_MAX, MMAP_MAX, TRIM_THRESHOLD = -8, -4, -1
"""Of glibc's malloc.h."""
KEPT = 1 << 30
"""Bytes free at the end of the heap from which on they are given back to the system."""
OWN = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""How the names of environment variables begin by which a user sets what malloc does."""


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed, instead of returning each large block to the system; tell whether it will.

    A network's layers take and free tens of megabytes for each batch; fetched from the system anew, page by page, that
    memory can take as long as the computing (benchmarks/networks.py). Best called before there are threads: those that
    exist keep heaps of their own. With another C library, or where the environment says what malloc is to do, nothing
    changes.
    """
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if (
        library is None
        or not hasattr(library, "gnu_get_libc_version")
        or any(name.startswith(OWN) for name in os.environ)
    ):
        return False
    # A thread's own heap has at most 64 MiB; only the first one grows.
    settings = ((ARENA_MAX, 1), (MMAP_MAX, 0), (TRIM_THRESHOLD, KEPT))
    return all(library.mallopt(name, value) for name, value in settings)
