"""The clock that leases run by: it goes on, and agrees with the system's own count of seconds."""

import time
from pathlib import Path

import pytest

from pinery.clock import boottime


def test_it_runs_with_the_clock_that_stands_still_in_suspend_or_ahead_of_it() -> None:
    before, began = boottime(), time.monotonic()
    time.sleep(0.02)
    passed = boottime() - before
    assert 0.02 <= passed <= time.monotonic() - began + 0.02


@pytest.mark.skipif(not Path("/proc/uptime").exists(), reason="this system doesn't tell the seconds since it booted")
def test_on_linux_it_counts_the_seconds_since_boot_those_asleep_too() -> None:
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    # In a container with a time namespace of its own, both are shifted alike.
    assert boottime() == pytest.approx(uptime, abs=1)
