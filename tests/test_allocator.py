"""Memory that a batch has freed stays with the process for the next one, in processes of their own."""

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pinery.allocator import keep_freed_memory
kept = keep_freed_memory() if "keep" in sys.argv else False
def batches(count):
    for _ in range(count):
        [b"x" * (24 << 20) for layer in range(6)]
with ThreadPoolExecutor(8) as pool:
    list(pool.map(batches, [1] * 2))
with ThreadPoolExecutor(1) as pool:
    pool.submit(batches, 2).result()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pool.submit(batches, 10).result()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments: str, **environment: str) -> tuple[bool, int]:
    """Return whether memory is kept, and how many pages ten batches of six layers of 24 MiB took from the system."""
    run = [sys.executable, "-c", CODE, *arguments]
    text = subprocess.run(run, env=os.environ | environment, capture_output=True, text=True, check=True).stdout
    kept, count = text.split()
    return kept == "True", int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_freed_memory_is_used_again_on_whichever_thread():
    assert faults("keep") == (True, pytest.approx(0, abs=100))
    assert faults()[1] > 1000


def test_what_a_user_has_set_stays():
    assert faults("keep", MALLOC_ARENA_MAX="4")[0] is False
