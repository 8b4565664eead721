"""The CPU cores of a process: those given to it, and no more than its container's quota pays."""

import math
from pathlib import Path

import pytest

from pinery.cores import cores, quota, workers_of_gpu


def machine(root: Path, group: str, files: dict[str, str]) -> Path:
    """Write what Linux shows of a process' control groups."""
    for name, text in {
        "proc/self/cgroup": group,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/", {"cpu.max": "400000 100000"}, 4),
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"cpu.max": "max 100000"}, math.inf),
        ("0::/", {}, math.inf),
        ("0::/system.slice/pinery.service", {"system.slice/pinery.service/cpu.max": "200000 100000"}, 2),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "100000 50000"}, 2),
        ("0::/../../other", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "nonsense"}, math.inf),
        ("4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 2.5),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ("4:cpu:/docker/1a2b", {"cpu/cpu.cfs_quota_us": "800000", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("9:memory:/\n3:cpuset:/\n0::/", {"memory/cpu.max": "100000 100000"}, math.inf),
    ],
    ids=str,
)
def test_the_quota_of_a_container_by_both_versions_of_control_groups(
    group: str, files: dict[str, str], expected: float, tmp_path: Path
) -> None:
    assert quota(machine(tmp_path, group, files)) == expected


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path) == math.inf


def test_this_process_has_at_least_a_core() -> None:
    assert 1 <= cores() <= quota() + 1


@pytest.mark.parametrize(("cores", "workers"), [(0, 1), (1, 1), (4, 2), (5, 2), (16, 8), (64, 8)])
def test_the_workers_of_a_gpu_have_two_cores_each(cores: int, workers: int) -> None:
    assert workers_of_gpu(cores) == workers
