"""Worker processes: replaced when they die, ended when they do not answer, and gone with the run."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import psutil
import pytest

from pinery.errors import StoppedError, TransientError
from pinery.steps.embed_part import embed_part
from tests.corpora import listed_items
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
    monkeypatch.setattr("pinery.steps.workers.STOP_SECONDS", 0.5)
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
