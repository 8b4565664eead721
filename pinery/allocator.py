"""Makes the C library keep memory that was freed for the next batch, and return it when that is no longer wanted."""

import ctypes
import os

ARENA_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD = -8, -3, -1
"""The numbers of settings in glibc's malloc.h."""
KEPT, LARGEST_KEPT = 256 << 20, 32 << 20
"""The number of free bytes that are kept at the end of the heap, and the size up to which a single block is kept.

glibc keeps no block above 32 MiB. Larger blocks always go back at once: when they were kept too, a run over large
broken images took 1.1 GB more.
"""
OWN = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""The beginnings of the environment variables with which a user configures malloc."""


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory, instead of returning it to the system at once; return whether it will.

    A network's layers take and free megabytes for each batch. To get that memory from the system again, page by page,
    can take as long as the computing (benchmarks/ceilings.py). Call this before there are threads, because those that
    exist keep heaps of their own. It does nothing with another C library, or where the user has configured malloc.
    """
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if (
        library is None
        or not hasattr(library, "gnu_get_libc_version")
        or any(name.startswith(OWN) for name in os.environ)
    ):
        return False
    # A thread's own heap has at most 64 MiB; only the main heap grows.
    settings = ((ARENA_MAX, 1), (MMAP_THRESHOLD, LARGEST_KEPT), (TRIM_THRESHOLD, KEPT))
    return all(library.mallopt(name, value) for name, value in settings)


def give_back_freed_memory() -> None:
    """Return free memory to the system, before work that needs memory of another kind than the batches did."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if library is not None and hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
