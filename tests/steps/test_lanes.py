"""Where parts are made: in this process, or in one process a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pinery.config_file import load_config
from pinery.steps.lanes import worker_devices
from tests.corpora import config


@pytest.mark.parametrize(
    ("runner", "device", "gpus", "parts", "expected"),
    [
        ({}, "auto", 0, 9, []),
        ({}, "auto", 1, 9, []),
        ({}, "auto", 4, 9, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ({}, "auto", 4, 2, ["cuda:0", "cuda:1"]),
        ({}, "auto", 4, 1, []),
        ({}, "cuda:1", 4, 9, []),
        ({}, "cpu", 4, 9, []),
        ({"workers": 2}, "cpu", 0, 9, ["cpu", "cpu"]),
        ({"workers": 3}, "auto", 2, 9, ["cuda:0", "cuda:1", "cuda:0"]),
        ({"kind": "threads"}, "auto", 4, 9, []),
        ({"kind": "processes"}, "auto", 4, 9, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        ({"kind": "processes"}, "auto", 0, 9, ["auto"]),
        ({"kind": "processes"}, "cpu", 4, 1, ["cpu"]),
        ({"kind": "processes", "workers": 2}, "auto", 0, 9, ["auto", "auto"]),
        ({"kind": "processes", "workers": 2}, "cuda:1", 4, 9, ["cuda:1", "cuda:1"]),
    ],
    ids=str,
)
def test_which_workers_there_are(
    runner: Any, device: str, gpus: int, parts: int, expected: list[str], tmp_path: Path
) -> None:
    model = {"name": "descriptor", "device": device}
    settings = load_config(config(tmp_path, tmp_path / "state", runner=runner, model=model))
    assert worker_devices(settings, gpus, parts) == expected
