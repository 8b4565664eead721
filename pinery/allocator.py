"""What the C library does with memory that was freed: it keeps it for the next batch, until it is told to let go."""

from __future__ import annotations

import ctypes
import os

ARENA_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD = -8, -3, -1
"""Of glibc's malloc.h."""
KEPT, LARGEST_KEPT = 256 << 20, 32 << 20
"""Bytes free at the end of the heap from which on they are given back, and of one block (the most that glibc takes).

Larger blocks always go back at once: keeping them too made a run over large broken images take 1.1 GB more.
"""
OWN = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""How the names of environment variables begin by which a user sets what malloc does."""


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed, instead of returning it to the system at every turn; tell whether it will.

    A network's layers take and free megabytes for each batch; fetched from the system anew, page by page, that memory
    can take as long as the computing (benchmarks/ceilings.py). Best called before there are threads: those that exist
    keep heaps of their own. Nothing changes with another C library, or where the environment says what malloc does.
    """
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if (
        library is None
        or not hasattr(library, "gnu_get_libc_version")
        or any(name.startswith(OWN) for name in os.environ)
    ):
        return False
    # A thread's own heap has at most 64 MiB; only the first one grows.
    settings = ((ARENA_MAX, 1), (MMAP_THRESHOLD, LARGEST_KEPT), (TRIM_THRESHOLD, KEPT))
    return all(library.mallopt(name, value) for name, value in settings)


def give_back_freed_memory() -> None:
    """Return to the system what is free now: what comes next needs other memory than the batches before it."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if library is not None and hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
