"""How many workers a Ray cluster holds, and what is said where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinery.config import Config
from pinery.config_file import load_config
from pinery.embedding.job import Job
from pinery.embedding.places import NodeShare
from pinery.embedding.ray_cluster import Node, cluster_nodes, ray_place
from pinery.errors import ConfigError, TransientError
from pinery.records import ModelCard
from tests.corpora import config

MANY = 1_000_000
BIG, SMALL, GPUS = Node(16, 0), Node(2, 0), Node(16, 4)


def settings(tmp_path: Path, **runner: Any) -> Config:
    runner = {"kind": "ray", "address": "auto"} | runner
    return load_config(config(tmp_path, tmp_path / "state", runner=runner, run={"part_rows": 16_384}))


@pytest.mark.parametrize(
    ("runner", "nodes", "items", "expected"),
    [
        ({}, [SMALL, SMALL], MANY, ["cpu"] * 4),
        ({}, [SMALL, SMALL], 2000, ["cpu"] * 2),
        ({"num_cpus": 0.5}, [SMALL], MANY, ["cpu"] * 4),
        ({"num_cpus": 0.1}, [SMALL], MANY, ["cpu"] * 20),
        ({"num_cpus": 3}, [SMALL, BIG], MANY, ["cpu"] * 5),
        ({"num_gpus": 1}, [BIG, GPUS, GPUS], MANY, ["cuda"] * 8),
        ({"num_gpus": 0.25, "num_cpus": 2}, [GPUS], MANY, ["cuda"] * 8),
        ({"num_gpus": 0.4, "num_cpus": 0}, [GPUS], MANY, ["cuda"] * 8),
        ({"num_gpus": 2, "num_cpus": 0}, [GPUS], MANY, ["cuda"] * 2),
        ({"workers": 3}, [SMALL], MANY, ["cpu"] * 3),
        ({"workers": 3}, [SMALL], 10, ["cpu"]),
        ({"num_gpus": 1}, [BIG], MANY, ["cuda"]),
        ({}, [], MANY, ["cpu"]),
    ],
    ids=str,
)
def test_the_workers_of_a_cluster(
    runner: Any, nodes: list[Node], items: int, expected: list[str], tmp_path: Path
) -> None:
    found = ray_place(settings(tmp_path, **runner), items, nodes)
    assert list(found.devices) == expected
    assert (found.kind, found.gpus) == ("ray", ())


def test_workers_of_one_node_share_its_memory(tmp_path: Path) -> None:
    found = settings(tmp_path, num_gpus=0.25, num_cpus=2)
    place = ray_place(found, MANY, [GPUS])
    assert place.share == NodeShare(threads=2, workers=8, on_device=4)
    card = ModelCard("m", "none", "", "x", "none", "exact", "fp32", normalise=False, dimension=3)
    job = place.share.of(Job(found, card, dict, 16, 16, 8000, MANY), place.devices)
    assert (job.threads, job.fetch_threads, job.pixels, job.expected, job.on_device) == (2, 2, 1000, MANY // 8, 4)
    assert job.config.model.device == "cuda"


def test_where_no_node_has_room_a_cluster_may_still_grow_and_a_machine_may_not(tmp_path: Path) -> None:
    assert "no node of the Ray cluster has 32 CPUs" in ray_place(settings(tmp_path, num_cpus=32), MANY, [BIG]).why
    with pytest.raises(ConfigError, match="this machine has not 32 CPUs and 1 GPU"):
        ray_place(settings(tmp_path, num_cpus=32, num_gpus=1, address=None), MANY, [BIG])


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"ray://127\.0\.0\.1:1 doesn't answer"):
        cluster_nodes(settings(tmp_path, address="ray://127.0.0.1:1").runner)


def test_without_ray_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from pinery.run_settings import RunnerSettings\n"
        "from pinery.embedding.ray_cluster import cluster_nodes\n"
        "cluster_nodes(RunnerSettings(kind='ray'))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert "pinery.errors.ConfigError: runner.kind: ray needs Ray" in ended.stderr
    assert "pip install 'pinery[ray]'" in ended.stderr
