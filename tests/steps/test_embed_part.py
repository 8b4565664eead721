"""A part, made in this process and in worker processes: the same file, the same guards, the same ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pinery.errors import AccessDeniedError, RefusedError, StoppedError, TerminalError
from pinery.records import Work
from pinery.steps.embed_part import embed_part
from tests.corpora import listed_items, paint
from tests.steps.embedding import PROCESSES, listed, opened, published, workers

KINDS = [{"kind": "threads"}, PROCESSES]


def make(images: Path, state: Path, **changes: Any) -> dict[str, Any]:
    with opened(images, state, **changes) as (run, embedding, told):
        report = embed_part(embedding, listed(run, "part-00000000"))
        assert told.done == report.rows == embedding.attempts.published
        return published(run, "part-00000000")


def test_a_worker_makes_the_part_that_threads_make(images: Path, tmp_path: Path) -> None:
    (images / "broken.jpg").write_bytes(b"no image")
    here = make(images, tmp_path / "here", runner={"kind": "threads"})
    there = make(images, tmp_path / "there", runner=PROCESSES)
    assert workers() == []
    assert len(here) == 13
    assert here.keys() == there.keys()
    for id, row in here.items():
        other = there[id]
        assert {k: v for k, v in row.items() if k != "values"} == {k: v for k, v in other.items() if k != "values"}
        if id == "broken.jpg":
            assert row["values"] is other["values"] is None
            assert "not an image" in row["error"]
        else:
            np.testing.assert_allclose(row["values"], other["values"], atol=1e-5)


@pytest.mark.parametrize("runner", KINDS, ids=str)
def test_known_bytes_are_reused_and_moved_items_left_out(runner: Any, images: Path, tmp_path: Path) -> None:
    with opened(images, tmp_path / "state", runner=runner) as (run, embedding, _):
        first = embed_part(embedding, listed(run, "part-00000000"))
        assert (first.embedded, first.reused) == (12, 0)
        paint(images / "red-4.jpg", "red", 4)
        again = listed_items(run.corpus.source)
        (images / "blue-0.jpg").unlink()
        second = embed_part(embedding, listed(run, "part-00000001", again))
        assert (second.embedded, second.reused, second.moved, second.rows) == (1, 11, 1, 12)
        assert set(second.seconds) == {"fetch", "decode", "infer"}
        before, after = published(run, "part-00000000"), published(run, "part-00000001")
        assert "blue-0.jpg" not in after
        assert all(after[id]["values"] == before[id]["values"] for id in before if id != "blue-0.jpg")


@pytest.mark.parametrize("runner", KINDS, ids=str)
def test_the_quarantine_guard_stops_a_part_midway_and_leaves_the_lane_usable(
    runner: Any, images: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for number in range(400):
        (bad / f"{number:04}.jpg").write_bytes(b"no image")
    model = {"name": "descriptor", "batch": 8}
    with opened(bad, tmp_path / "state", runner=runner, model=model) as (run, embedding, told):
        work = listed(run, "part-00000000")
        told_why = (
            r"(?s)10\d of 10\d images could not be embedded.*not an image.*Among them are 0\d*\.jpg: .*; 0\d*\.jpg: "
        )
        with pytest.raises(RefusedError, match=told_why):
            embed_part(embedding, work)
        assert run.corpus.target.checkpoint.names() == []
        assert len(embedding.attempts.examples) == 20
        assert all("not an image" in reason for reason in embedding.attempts.examples.values())
        assert told.done == 0, "what was given up is no longer counted as done"
        assert list(run.main.scratch.glob("part-*-*.parquet")) == [work.path]
        assert embed_part(embedding, Work("part-00000001", work.path, 0, 5)).quarantined == 5


@pytest.mark.parametrize("runner", KINDS, ids=str)
def test_a_stopped_run_ends_its_parts_with_the_reason(runner: Any, images: Path, tmp_path: Path) -> None:
    model = {"name": "descriptor", "batch": 1}
    with opened(images, tmp_path / "state", runner=runner, model=model) as (run, embedding, told):
        told.on_batch = lambda: run.stop(TerminalError("the disk is full"))
        with pytest.raises(TerminalError, match="the disk is full"):
            embed_part(embedding, listed(run, "part-00000000"))
        assert run.corpus.target.checkpoint.names() == []
    assert workers() == []


def test_a_run_stopped_without_a_reason_says_so(images: Path, tmp_path: Path) -> None:
    with opened(images, tmp_path / "state", runner=PROCESSES) as (run, embedding, _):
        run.stop()
        with pytest.raises(StoppedError, match="asked to stop"):
            embed_part(embedding, listed(run, "part-00000000"))


def test_a_file_that_may_not_be_read_costs_its_row_and_mends_itself() -> None:
    with open_to_all() as folder:
        for number in range(3):
            paint(folder / "images" / f"red-{number}.jpg", "red", number)
        with opened(folder / "images", folder / "state") as (run, embedding, _):
            embed_part(embedding, listed(run, "part-00000000"))
            closed = folder / "images" / "red-8.jpg"
            paint(closed, "red", 8)
            [item] = [item for item in listed_items(run.corpus.source) if item.id == closed.name]
            work = listed(run, "part-00000001", [item])
            everything = listed(run, "part-00000002")
            closed.chmod(0)
            with plain_user(folder / "state"):
                with pytest.raises(AccessDeniedError, match=r"red-8\.jpg may not be read .* none of the other items"):
                    embed_part(embedding, work)
                report = embed_part(embedding, everything)
            assert (report.quarantined, report.rows) == (1, 4)
            row = published(run, "part-00000002")[closed.name]
            assert row["error"].startswith("no access: ")
            closed.chmod(0o644)
            [mended] = [item for item in listed_items(run.corpus.source) if item.id == closed.name]
            assert mended.version != row["version"], "so it is tried again"


def test_of_a_listing_others_are_tried_before_access_is_denied_to_all() -> None:
    with open_to_all() as folder:
        for number in range(30):
            paint(folder / "images" / f"red-{number:02}.jpg", "red", number)
        with opened(folder / "images", folder / "state") as (run, embedding, _):
            everything = listed(run, "part-00000000")
            shutil.copyfile(everything.path, run.main.scratch / "listing.parquet")
            run.corpus.store.publish(run.corpus.paths.listing(run.name), run.main.scratch / "listing.parquet")
            closed = folder / "images" / "red-07.jpg"
            closed.chmod(0)
            [item] = [item for item in listed_items(run.corpus.source) if item.id == closed.name]
            run.main.target.model()
            work = listed(run, "part-00000001", [item])
            with plain_user(folder / "state"):
                assert embed_part(embedding, work).quarantined == 1


@contextmanager
def open_to_all() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def plain_user(own: Path) -> Iterator[None]:
    """Without root's right to read everything, as the owner of the folder `own`."""
    was = os.geteuid()
    if was == 0:
        for path in [own, *own.rglob("*")]:
            os.chown(path, 65534, -1)
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)
