"""Counts the CPU cores of this process, and divides them among the workers of a GPU."""

import contextlib
import math
import os
from pathlib import Path

CORES_EACH = 2
"""The cores that a worker of a GPU has: it decodes on so many threads, which hardly wait for Python's lock."""
MOST_EACH = 8
"""Workers of one GPU at most: each holds a context of some 0.5 GB and the model."""


def cores() -> int:
    """Return the number of CPU cores that this process may use: those given to it, and no more than its quota pays."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(given, quota()))


def quota(root: Path = Path("/")) -> float:
    """Return the cores' worth of time that Linux lets this process' container have; infinite where it sets no limit.

    A container with `limits: {cpu: 4}` on Kubernetes sees all cores of its node, and stands still once its threads have
    used up the time of four. `root` is where /proc and /sys are. Source: the kernel's cgroup-v2.rst (`cpu.max`) and
    sched-bwc.rst (`cpu.cfs_quota_us`); both say microseconds of CPU time in a period of microseconds, -1 or `max`
    where there is no limit.
    """
    found = [math.inf]
    for place in _groups(root):
        with contextlib.suppress(OSError, ValueError):
            if (place / "cpu.max").exists():
                time, period = (place / "cpu.max").read_text().split()
            else:
                time, period = ((place / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            found.append(int(time) / int(period) if int(time) > 0 else math.inf)
    return min(found)


def workers_of_gpu(cores: int) -> int:
    """Return the number of workers that feed one GPU, which has so many cores to itself."""
    return max(1, min(MOST_EACH, cores // CORES_EACH))


def _groups(root: Path) -> list[Path]:
    """The folders of the control groups that this process is in, whose limits all hold."""
    system = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    groups = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = system / "cpu" if controllers else system
        own = top / path.lstrip("/")
        groups += [own, *(parent for parent in own.parents if parent == top or top in parent.parents)]
    return groups
