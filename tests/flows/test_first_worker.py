"""The first worker process gets ready while a first run lists and plans; it is used, or it ends, and is never idle."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.backfill import backfill
from flows.reindex import reindex
from pinery.errors import RefusedError
from tests.corpora import COLOURS, config, jpeg
from tests.filled import counts
from tests.processes import wait_until
from tests.s3_server import S3Server
from tests.steps.embedding import workers

MODEL = {"name": "descriptor", "precision": "fp32", "decode": "exact"}
"""Nothing is left to `auto`, for which a first run would list the source once more before it begins."""
TWO = {"kind": "processes", "workers": 2}


@pytest.fixture
def processes_made() -> Callable[[], int]:
    """The number of processes that this one has started since the last call, as it numbers them."""

    def number() -> int:
        return int(multiprocessing.get_context("spawn").Process().name.rpartition("-")[2])

    last = [number()]

    def since() -> int:
        last.append(number())
        return last[-1] - last[-2] - 1

    return since


def has_torch(worker: psutil.Process) -> bool:
    return any("libtorch" in mapped.path for mapped in worker.memory_maps())


def test_the_first_worker_loads_its_model_while_the_listing_goes_on(s3_server: S3Server, tmp_path: Path) -> None:
    bucket = s3_server.new_bucket()
    for label in COLOURS:
        for number in range(4):
            s3_server.client().put_object(Bucket=bucket, Key=f"photos/{label}/{number}.jpg", Body=jpeg(label, number))
    source = {"kind": "s3", "uri": f"s3://{bucket}/photos", "endpoint_url": s3_server.endpoint_url}
    changes: dict[str, Any] = {"source": source | {"region": "us-east-1"}, "model": MODEL, "runner": TWO}
    seen: list[set[int]] = []

    def wait() -> None:
        found: list[psutil.Process] = []
        wait_until(lambda: bool(found.extend(filter(has_torch, children())) or found))
        seen.append({child.pid for child in children()})

    s3_server.hold(wait, "")
    done = reindex(config(tmp_path, tmp_path / "state", **changes))
    assert (done["embedded"], done["verified"]) == (12, True)
    assert (done["workers"]["kind"], done["workers"]["count"]) == ("processes", 2)
    assert len(seen[0]) == 1, "the listing was answered once a worker was there"
    assert len(seen[-1]) == 2
    assert seen[0] < seen[-1], "that worker reads images"
    assert workers() == []


def children() -> list[psutil.Process]:
    """The worker processes, as another thread than theirs may look at them."""
    return [one for one in psutil.Process().children() if any("spawn_main" in word for word in one.cmdline())]


def test_a_night_with_nothing_to_do_starts_no_process(
    images: Path, tmp_path: Path, processes_made: Callable[[], int]
) -> None:
    settings = config(images, tmp_path / "state", runner=TWO)
    assert counts(reindex(settings))["embedded"] == 12
    assert processes_made() == 2
    assert counts(reindex(settings)) == {"unchanged": 12}
    assert processes_made() == 0


def test_a_first_run_that_is_refused_leaves_no_process(
    images: Path, tmp_path: Path, processes_made: Callable[[], int]
) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    for part in (tmp_path / "state").glob("test/*/parts/*.parquet"):
        part.unlink()
    for number in range(3):
        (images / f"red-{number}.jpg").unlink()
    with pytest.raises(RefusedError, match="3 of the 12 rows"):
        reindex(settings | {"runner": TWO})
    assert processes_made() == 1
    assert workers() == []


def test_a_first_run_too_small_for_processes_embeds_without_the_one_that_was_started(
    images: Path, tmp_path: Path, processes_made: Callable[[], int]
) -> None:
    done = reindex(config(images, tmp_path / "state", runner={"workers": 2}, run={"part_rows": 100}))
    assert (done["embedded"], done["workers"]["kind"]) == (12, "threads")
    assert processes_made() == 1
    assert workers() == []


def test_a_backfill_has_a_worker_get_ready_and_uses_it_where_it_is_needed(
    images: Path, tmp_path: Path, processes_made: Callable[[], int]
) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    done = backfill(settings | {"runner": TWO}, MODEL | {"decode": "scaled"})
    assert (done["embedded"], done["workers"]["count"]) == (12, 2)
    assert processes_made() == 2
    done = backfill(settings | {"runner": {"workers": 2}, "run": {"part_rows": 100}}, MODEL | {"decode": "fast"})
    assert (done["embedded"], done["workers"]["kind"]) == (12, "threads")
    assert processes_made() == 1
    assert workers() == []
