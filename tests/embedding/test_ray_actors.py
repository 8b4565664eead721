"""Actors on a real Ray cluster of two nodes: they make the parts that one machine makes, and may die at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pinery.embedding.ray_cluster import connect, disconnect
from pinery.errors import ConfigError, StoppedError, TerminalError, TransientError
from pinery.steps.embed_part import embed_part
from tests.corpora import config, listed_items
from tests.filled import bring, rows_of
from tests.filled import opened as corpus_of
from tests.processes import wait_until
from tests.ray_nodes import RayNodes
from tests.s3_server import S3Server
from tests.steps.embedding import listed, opened, published

ONE_BY_ONE = {"name": "descriptor", "batch": 1}


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with RayNodes() as found:
        yield found
        disconnect()


@pytest.fixture
def ray(nodes: RayNodes) -> Iterator[dict[str, Any]]:
    """The setting `runner` for that cluster."""
    yield {"kind": "ray", "address": nodes.address}
    disconnect()


def staged(state: Path) -> list[Path]:
    return list(state.glob("test/*/staging/*"))


def in_background(action: Any) -> tuple[threading.Thread, list[BaseException]]:
    """Start a thread that keeps what `action` raises."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, failures


@pytest.mark.slow
def test_two_nodes_make_what_one_machine_makes(images: Path, tmp_path: Path, ray: dict[str, Any]) -> None:
    here, there = config(images, tmp_path / "here"), config(images, tmp_path / "there", runner=ray)
    bring(here)
    with_leftover = corpus_of(there).target
    with_leftover.store.write(f"{with_leftover.paths.staging(with_leftover.card.key)}/left.parquet", b"of a dead run")
    made = bring(there)
    assert (made.embedded, made.parts, made.verified) == (12, 3, True)
    assert made.workers is not None
    assert (made.workers.kind, made.workers.count) == ("ray", 2)
    assert rows_of(there) == rows_of(here)
    assert staged(tmp_path / "there") == []
    (images / "red-0.jpg").rename(images / "renamed.jpg")
    assert bring(there).reused == 1, "the run told the worker which bytes it knows"


@pytest.mark.slow
def test_parts_reach_a_state_on_s3_without_passing_through_the_run(
    images: Path, tmp_path: Path, ray: dict[str, Any], s3_server: S3Server
) -> None:
    bucket = s3_server.new_bucket()
    access = {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
    index = {"kind": "pinecone"}  # which nobody reaches
    with opened(images, tmp_path / "here") as (run, embedding, _):
        embed_part(embedding, listed(run, "part-00000000"))
        expected = published(run, "part-00000000")
    with opened(images, f"s3://{bucket}/state", runner=ray, state_s3=access, index=index) as (run, embedding, _):
        place = f"state/{run.corpus.paths.staging(run.main.target.card.key)}"
        assert embed_part(embedding, listed(run, "part-00000000")).rows == 12
        assert s3_server.count("PUT", place) == 1
        assert s3_server.count("GET", place) == 0
        assert published(run, "part-00000000") == expected
        assert s3_server.client().list_objects_v2(Bucket=bucket, Prefix=place)["KeyCount"] == 0


@pytest.mark.slow
def test_an_actor_killed_amid_a_part_is_named_and_replaced(
    images: Path, tmp_path: Path, nodes: RayNodes, ray: dict[str, Any]
) -> None:
    with opened(images, tmp_path / "state", runner=ray, model=ONE_BY_ONE) as (run, embedding, told):
        work = listed(run, "part-00000007", listed_items(run.corpus.source) * 100)
        told.on_batch = lambda: [one.kill() for one in nodes.workers()] if told.batches == 1 else None  # type: ignore[assignment]
        with pytest.raises(TransientError, match=r"worker on node \S+ of the Ray cluster that made part-00000007 died"):
            embed_part(embedding, work)
        assert run.corpus.target.checkpoint.names() == []
        assert (told.done, embedding.attempts.published) == (0, 0)
        assert embed_part(embedding, work).rows == 1200
        assert run.corpus.target.checkpoint.names() == ["part-00000007"]
    wait_until(lambda: nodes.workers() == [], seconds=30)


@pytest.mark.slow
def test_an_actor_that_died_idle_costs_nothing(
    images: Path, tmp_path: Path, nodes: RayNodes, ray: dict[str, Any]
) -> None:
    with opened(images, tmp_path / "state", runner=ray) as (run, embedding, _):
        assert embed_part(embedding, listed(run, "part-00000000")).rows == 12
        for idle in nodes.workers():
            idle.kill()
        assert embed_part(embedding, listed(run, "part-00000001")).rows == 12


@pytest.mark.slow
def test_a_run_that_is_to_stop_ends_a_part_at_once(
    images: Path, tmp_path: Path, nodes: RayNodes, ray: dict[str, Any]
) -> None:
    with opened(images, tmp_path / "state", runner=ray, model=ONE_BY_ONE) as (run, embedding, told):
        work = listed(run, "part-00000000", listed_items(run.corpus.source) * 100)

        def freeze() -> None:
            for one in nodes.workers():
                one.suspend()
            run.stop()

        told.on_batch = lambda: freeze() if told.batches == 1 else None
        began = time.monotonic()
        with pytest.raises(StoppedError):
            embed_part(embedding, work)
        assert run.corpus.target.checkpoint.names() == []
    wait_until(lambda: all(one.status() != psutil.STATUS_RUNNING for one in nodes.workers()), seconds=30)
    for one in nodes.workers():
        one.kill()
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_a_node_without_the_images_is_named(images: Path, tmp_path: Path, ray: dict[str, Any]) -> None:
    with opened(images, tmp_path / "state", runner=ray) as (run, embedding, _):
        work = listed(run, "part-00000000")
        images.rename(tmp_path / "unmounted")
        with pytest.raises(ConfigError, match=r"on node \S+ of the Ray cluster: folder .* does not exist"):
            embed_part(embedding, work)


@pytest.mark.slow
def test_where_no_node_is_left_the_run_fails_within_its_patience(
    images: Path, tmp_path: Path, ray: dict[str, Any]
) -> None:
    ray |= {"num_cpus": 5}
    said = r"for 1 s .* no node .* had a worker, which takes 5 CPUs.*same command"
    with (
        opened(images, tmp_path / "state", runner=ray, upsert={"outage_patience": 1}) as (run, embedding, _),
        pytest.raises(TerminalError, match=said),
    ):
        embed_part(embedding, listed(run, "part-00000000"))


@pytest.mark.slow
def test_a_node_that_dies_costs_its_part_and_another_takes_its_place(
    images: Path, tmp_path: Path, nodes: RayNodes, ray: dict[str, Any]
) -> None:
    with opened(images, tmp_path / "state", runner=ray | {"workers": 1}, model=ONE_BY_ONE) as (run, embedding, told):
        work = listed(run, "part-00000000", listed_items(run.corpus.source) * 100)

        def kill_nodes() -> None:
            nodes.kill_node()
            nodes.kill_node()

        told.on_batch = lambda: kill_nodes() if told.batches == 1 else None
        with pytest.raises(TransientError, match="part-00000000 died"):
            embed_part(embedding, work)
        thread, failures = in_background(lambda: embed_part(embedding, work))
        nodes.add_node()
        thread.join(60)
        nodes.add_node()
        assert failures == []
        assert run.corpus.target.checkpoint.names() == ["part-00000000"]


@pytest.mark.slow
def test_the_nodes_run_the_code_of_the_run_and_sigterm_is_still_its_own(nodes: RayNodes, ray: dict[str, Any]) -> None:
    import signal

    from pinery.run_settings import RunnerSettings

    before = signal.getsignal(signal.SIGTERM)
    module = connect(RunnerSettings(**ray))
    assert signal.getsignal(signal.SIGTERM) is before

    def where() -> str:
        import pinery

        return pinery.__file__

    assert "/working_dir_files/" in module.get(module.remote(where).remote())
