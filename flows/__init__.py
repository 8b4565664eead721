"""Pinery's flows and its command line, which are where its processes start."""

from pinery.allocator import keep_freed_memory

keep_freed_memory()
