"""The doctor's look at the machine: disks, weights, device and place of work."""

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from pinery.config import cache_root
from pinery.config_file import load_config
from pinery.errors import ConfigError
from pinery.steps import doctor_machine
from pinery.steps.doctor_machine import GIB, check_device, check_disks, check_place, check_weights
from tests.corpora import config

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return config(tmp_path, tmp_path / "state")


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GIB, 0, free))


@pytest.mark.parametrize(
    ("free", "verdict"), [(50 * GIB, "ok"), (GIB, "warning"), (GIB // 10, "wrong"), (0, "wrong")], ids=str
)
def test_the_disks_of_state_and_cache_have_room_or_not(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    with_free(monkeypatch, free)
    found = list(check_disks(load_config(settings)))
    assert [(one.name, one.verdict) for one in found] == [("disk of state", verdict), ("disk of cache", verdict)]
    assert settings["state"] in found[0].found
    assert str(cache_root()) in found[1].found
    assert all(bool(one.advice) == (verdict != "ok") for one in found)


def test_the_cache_of_a_state_on_s3_needs_what_it_may_take(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 5 * GIB)
    remote = settings | {"state": "s3://bucket/x", "index": {"kind": "pinecone"}}
    [found] = check_disks(load_config(remote))
    assert (found.verdict, "5.0 GiB free" in found.found, "cache_bytes" in found.advice) == ("warning", True, True)
    [found] = check_disks(load_config(remote | {"cache_bytes": GIB}))
    assert found.verdict == "ok"


def test_a_disk_that_can_not_be_asked_is_wrong(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> Usage:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert {one.verdict for one in check_disks(load_config(settings))} == {"wrong"}


def test_the_device_is_told_and_one_that_is_not_there_is_an_error(settings: dict[str, Any]) -> None:
    found = check_device(load_config(settings | {"model": {"name": "descriptor", "device": "cpu"}}))
    assert found.found.startswith("cpu: ")
    assert "GiB of memory" in found.found
    for device, words in (("cuda:99", "is not there"), ("tpu", "unknown device")):
        with pytest.raises(ConfigError, match=words):
            check_device(load_config(settings | {"model": {"name": "descriptor", "device": device}}))


def test_the_place_of_a_large_run_is_told(settings: dict[str, Any]) -> None:
    cpu = {"model": {"name": "descriptor", "device": "cpu"}}
    found = check_place(load_config(settings | cpu))
    assert found.found == "runner.kind auto takes threads of the run's own process for a large run: there is no GPU"
    two = check_place(load_config(settings | cpu | {"runner": {"kind": "processes", "workers": 2}}))
    assert two.found == "runner.kind processes takes 2 processes for a large run: runner.workers is 2"


def test_weights_are_told(settings: dict[str, Any]) -> None:
    assert check_weights(load_config(settings), None).found == "descriptor needs no weights"


def test_the_memory_of_this_machine_is_more_than_nothing() -> None:
    assert doctor_machine._memory() > GIB // 4
