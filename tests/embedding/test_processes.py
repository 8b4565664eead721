"""Worker processes: replaced when they die, ended when they do not answer, and gone with the run."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pinery.config_file import load_config
from pinery.embedding.job import Job
from pinery.embedding.processes import FirstWorker, Processes
from pinery.embedding.worker_process import Room
from pinery.errors import StoppedError, TransientError
from pinery.records import ModelCard
from pinery.steps.embed_part import embed_part
from tests.corpora import config, listed_items
from tests.processes import wait_until
from tests.steps.embedding import PROCESSES, listed, opened, workers


def test_a_worker_killed_amid_a_part_is_named_and_replaced(images: Path, tmp_path: Path) -> None:
    model = {"name": "descriptor", "batch": 1}
    with opened(images, tmp_path / "state", runner=PROCESSES, model=model) as (run, embedding, told):
        work = listed(run, "part-00000007", listed_items(run.corpus.source) * 10)
        killed = workers()
        told.on_batch = lambda: told.batches == 1 and os.kill(killed[0].pid, signal.SIGKILL)
        with pytest.raises(
            TransientError, match=r"part-00000007 \(device auto\) died with exit code -9 \(SIGKILL\).*run"
        ):
            embed_part(embedding, work)
        assert run.corpus.target.checkpoint.names() == []
        assert (told.done, embedding.attempts.published) == (0, 0)
        assert embed_part(embedding, work).rows == 120
        assert workers() != killed
        assert run.corpus.target.checkpoint.names() == ["part-00000007"]
    assert workers() == []


def test_a_worker_that_died_idle_costs_nothing(images: Path, tmp_path: Path) -> None:
    with opened(images, tmp_path / "state", runner=PROCESSES) as (run, embedding, _):
        [idle] = workers()
        idle.kill()
        wait_until(lambda: workers() == [])
        assert embed_part(embedding, listed(run, "part-00000000")).rows == 12


def test_a_worker_that_does_not_answer_is_killed_when_the_run_stops(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinery.embedding.processes.STOP_SECONDS", 0.5)
    with opened(images, tmp_path / "state", runner=PROCESSES) as (run, embedding, _):
        [frozen] = workers()
        frozen.suspend()
        failures: list[BaseException] = []

        def embed() -> None:
            try:
                embed_part(embedding, work)
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        work = listed(run, "part-00000000")
        thread = threading.Thread(target=embed)
        thread.start()
        run.stop()
        thread.join(30)
        assert [type(failure) for failure in failures] == [StoppedError]
        wait_until(lambda: not psutil.pid_exists(frozen.pid))


def shared(images: Path, state: Path, workers: int) -> Processes:
    """Workers that share a GPU; nothing uses it until they are given a part."""
    settings = load_config(config(images, state))
    card = ModelCard("m", "none", "", "x", "none", "exact", "fp32", normalise=False, dimension=3)
    model = settings.model.model_copy(update={"device": "cuda:0"})
    settings = settings.model_copy(update={"model": model})
    return Processes([Job(settings, card, dict, 1, 1, 1000, 10, on_device=workers)] * workers)


@pytest.mark.parametrize(
    ("room", "left"), [(Room(7, short=False), 4), (Room(1, short=False), 2), (Room(0, short=True), 1)]
)
def test_as_many_workers_share_a_gpu_as_its_memory_has_room_for(
    images: Path, tmp_path: Path, room: Room, left: int
) -> None:
    processes = shared(images, tmp_path / "state", 4)
    assert processes.count == 4
    told = processes.fit("cuda:0", room)
    assert processes.count == left
    assert (told is None) == (left == 4)
    assert told is None or f"enough for {left} of its workers" in told
    assert processes.fit("cuda:0", Room(0, short=True)) is not None
    assert processes.count == max(1, left - 1)
    processes.close()
    assert workers() == []


def test_the_room_on_a_gpu_follows_from_what_the_first_worker_holds() -> None:
    gib = 1 << 30
    assert Room.beside(2 * gib, 78 * gib, short=False) == Room(35, short=False)
    assert Room.beside(50 * gib, 30 * gib, short=False) == Room(0, short=False)
    assert Room.beside(2 * gib, 78 * gib, short=True) == Room(0, short=True)


def test_a_first_worker_takes_a_job_for_its_model_and_device_alone(images: Path, tmp_path: Path) -> None:
    settings = load_config(config(images, tmp_path / "state"))
    card = ModelCard("m", "none", "", "x", "none", "exact", "fp32", normalise=False, dimension=3)
    job = Job(settings, card, dict, 1, 1, 1000, 10)
    for other, suits in [(replace(job, threads=2), True), (replace(job, card=replace(card, dimension=4)), False)]:
        first = FirstWorker(job)
        [early] = workers()
        processes = Processes([other, other], first)
        assert (early in workers()) == suits
        assert len(workers()) == 2
        first.close()
        assert len(workers()) == 2, "it is no longer its own"
        processes.close()
        assert workers() == []


def test_a_first_worker_that_nobody_needs_ends_at_once(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinery.embedding.processes.STOP_SECONDS", 1e6)
    settings = load_config(config(images, tmp_path / "state"))
    card = ModelCard("m", "none", "", "x", "none", "exact", "fp32", normalise=False, dimension=3)
    first = FirstWorker(Job(settings, card, dict, 1, 1, 1000, 10))
    [early] = workers()
    early.suspend()  # it would answer nothing
    first.close()
    assert workers() == []
