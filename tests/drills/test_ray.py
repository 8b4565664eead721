"""Actors and nodes of a Ray cluster killed for real: only parts in flight are made again, and the index is the same."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client

from tests.corpora import config
from tests.drills.checks import embedded_twice, held, parts
from tests.drills.test_workers import TOTAL, ended, on_threads
from tests.processes import halted, report, start, wait_until, write_config
from tests.ray_nodes import RayNodes

PARTS = 15


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with RayNodes() as found:
        yield found


@pytest.fixture
def ray_config(many_images: Path, tmp_path: Path, nodes: RayNodes) -> Path:
    """A config for the cluster, an image a batch."""
    runner = {"kind": "ray", "address": nodes.address}
    model = {"name": "descriptor", "device": "cpu", "batch": 1}
    settings = config(many_images, tmp_path / "state", runner=runner, model=model, run={"part_rows": TOTAL // PARTS})
    return write_config(tmp_path / "config.yaml", settings)


def amid_a_part(nodes: RayNodes) -> psutil.Process | None:
    """An actor that is writing a part right now, halted there."""
    return halted(nodes.workers(), writes)


def writes(worker: psutil.Process) -> bool:
    return any("/pinery-ray-" in file.path and file.path.endswith(".parquet") for file in worker.open_files())


def attempts(before: set[str]) -> int:
    """The attempts to embed parts that Prefect has seen since."""
    return sum(task.run_count for task in tasks() if str(task.id) not in before)


def tasks() -> list[object]:
    with get_client(sync_client=True) as client:
        return [task for task in client.read_task_runs(limit=200) if task.name.startswith("embed part")]


@pytest.mark.slow
def test_an_actor_and_then_a_node_killed_cost_the_parts_in_flight_alone(ray_config: Path, nodes: RayNodes) -> None:
    state = ray_config.parent / "state"
    before = {str(task.id) for task in tasks()}
    process = start("run", str(ray_config), "--json")
    with ended(process):
        wait_until(lambda: len(parts(state)) >= 2, process)
        found: list[psutil.Process] = []
        wait_until(lambda: bool(found.extend(filter(None, [amid_a_part(nodes)])) or found), process)
        found[0].kill()
        wait_until(lambda: len(parts(state)) >= 5, process)
        published = parts(state)
        nodes.kill_node()
        stdout, stderr = process.communicate(timeout=200)
    nodes.add_node()
    assert process.returncode == 0, stderr
    done = json.loads(stdout)
    assert (done["embedded"], done["parts"], done["verified"]) == (TOTAL, PARTS, True)
    assert PARTS + 1 <= attempts(before) <= PARTS + 2, "one for the actor, and one for what the node was making"
    assert published.items() <= parts(state).items(), "a published part was written again"
    assert embedded_twice(ray_config) == []
    assert held(ray_config) == on_threads(ray_config)
    assert list(state.glob("test/*/staging/*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_actors_die_with_their_run_and_the_next_goes_on(
    number: signal.Signals, ray_config: Path, nodes: RayNodes
) -> None:
    state = ray_config.parent / "state"
    process = start("run", str(ray_config))
    with ended(process):
        wait_until(lambda: len(parts(state)) >= 2, process)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else -9), stderr
    wait_until(lambda: nodes.workers() == [], seconds=60)
    published = parts(state)
    assert 2 <= len(published) < PARTS
    done = report("run", str(ray_config))
    assert done["verified"]
    assert published.items() <= parts(state).items()
    assert embedded_twice(ray_config) == []
    assert held(ray_config) == on_threads(ray_config)
    assert list(state.glob("test/*/staging/*")) == []


@pytest.mark.slow
def test_a_ray_of_its_own_ends_with_the_run(many_images: Path, tmp_path: Path) -> None:
    settings = config(many_images, tmp_path / "state", runner={"kind": "ray"}, run={"part_rows": 50})
    path = write_config(tmp_path / "config.yaml", settings)
    before = {one.pid for one in psutil.process_iter()}
    process = start("run", str(path), "--json")
    with ended(process):
        stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["workers"]["kind"] == "ray"
    assert "Traceback" not in stderr

    def left() -> list[str]:
        new = [one.name() for one in psutil.process_iter() if one.pid not in before]
        return [name for name in new if name in ("raylet", "gcs_server") or name.startswith("ray::")]

    wait_until(lambda: left() == [], seconds=30)
