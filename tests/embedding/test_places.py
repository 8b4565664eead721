"""Where parts are made: in this process, or in worker processes, and in how many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pinery.config_file import load_config
from pinery.embedding.places import LEAST_PART_ROWS, PARTS_EACH, Place, place_for
from tests.corpora import config

MANY = 1_000_000
ONE_GPU = ["cuda:0"] * 8
FOUR_GPUS = ["cuda:0", "cuda:1", "cuda:2", "cuda:3"] * 2


@pytest.mark.parametrize(
    ("runner", "device", "gpus", "cores", "items", "expected"),
    [
        ({}, "auto", 0, 16, MANY, []),
        ({}, "auto", 1, 16, MANY, ONE_GPU),
        ({}, "auto", 1, 64, MANY, ONE_GPU),
        ({}, "auto", 1, 6, MANY, ["cuda:0"] * 3),
        ({}, "auto", 1, 2, MANY, []),
        ({}, "auto", 1, 16, 20_000, ONE_GPU),
        ({}, "auto", 1, 16, 5_000, ["cuda:0"] * 5),
        ({}, "auto", 1, 16, 4_000, []),
        ({}, "auto", 4, 16, MANY, FOUR_GPUS),
        ({}, "auto", 4, 2, MANY, FOUR_GPUS[:4]),
        ({}, "cuda:1", 4, 16, MANY, ["cuda:1"] * 8),
        ({}, "cpu", 4, 16, MANY, []),
        ({"workers": 2}, "cpu", 0, 16, MANY, ["cpu", "cpu"]),
        ({"workers": 2}, "cpu", 0, 16, 1025, ["cpu", "cpu"]),
        ({"workers": 2}, "cpu", 0, 16, 1024, []),
        ({"workers": 3}, "auto", 2, 16, MANY, ["cuda:0", "cuda:1", "cuda:0"]),
        ({"kind": "threads"}, "auto", 4, 16, MANY, []),
        ({"kind": "processes"}, "auto", 4, 16, 100, ["cuda:0"]),
        ({"kind": "processes"}, "auto", 0, 16, MANY, ["auto"]),
        ({"kind": "processes", "workers": 2}, "auto", 0, 16, MANY, ["auto", "auto"]),
        ({"kind": "processes", "workers": 2}, "cuda:1", 4, 16, MANY, ["cuda:1", "cuda:1"]),
    ],
    ids=str,
)
def test_the_workers_for_a_machine_and_a_run(
    runner: Any, device: str, gpus: int, cores: int, items: int, expected: list[str], tmp_path: Path
) -> None:
    model = {"name": "descriptor", "device": device}
    changes: dict[str, Any] = {"runner": runner, "model": model, "run": {"part_rows": 16_384}}
    settings = load_config(config(tmp_path, tmp_path / "state", **changes))
    found = place_for(settings, items, gpus=gpus, cores=cores)
    assert list(found.devices) == expected
    assert found.kind == ("processes" if expected else "threads")


def test_small_parts_that_a_config_asks_for_are_shared_out_too(tmp_path: Path) -> None:
    settings = load_config(config(tmp_path, tmp_path / "state", runner={"workers": 3}, run={"part_rows": 5}))
    assert place_for(settings, 12, gpus=0, cores=2).workers == 3


@pytest.mark.parametrize(("workers", "rows"), [(1, MANY), (8, MANY), (8, 20_000), (8, 100), (3, 5000)])
def test_parts_are_small_enough_for_all_workers_and_no_heap_of_tiny_ones(workers: int, rows: int) -> None:
    size = (
        Place(("cpu",) * workers, "").part_rows(rows, 16_384) if workers > 1 else Place((), "").part_rows(rows, 16_384)
    )
    parts = -(-rows // size)
    assert size <= 16_384
    assert size == 16_384 or size >= LEAST_PART_ROWS
    assert workers == 1 or size == LEAST_PART_ROWS or parts >= PARTS_EACH * workers - 1


def test_the_reason_says_what_decided(tmp_path: Path) -> None:
    settings = load_config(config(tmp_path, tmp_path / "state", run={"part_rows": 16_384}))
    assert place_for(settings, MANY, gpus=1, cores=16).why == "1 GPU and 16 cores"
    assert place_for(settings, 2000, gpus=2, cores=16).why == "2,000 images are too few for processes"
    assert place_for(settings, MANY, gpus=0, cores=16).why == "there is no GPU"
