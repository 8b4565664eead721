"""A listing is written whole, told, and published only when its run says so."""

import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pinery.corpus.open_run import open_run
from pinery.errors import ConfigError, EmptyListingError, StoppedError
from pinery.steps.list_items import copy_current_listing, list_items, publish_listing
from tests.corpora import config
from tests.filled import Heard, opened


def test_every_item_is_listed_once_and_what_is_left_out_is_told(images: Path, tmp_path: Path) -> None:
    (images / "notes.txt").write_text("no image")
    heard = Heard()
    with open_run(opened(config(images, tmp_path / "state")), progress=heard) as run:
        listing = list_items(run)
        ids = pq.read_table(listing.path)["id"].to_pylist()
        assert ids == sorted(path.name for path in images.glob("*.jpg"))
        assert (heard.done["list"], listing.name, run.corpus.current_listing()) == (12, None, None)
        assert sum(listing.left_out.values()) == 1
        assert len(heard.notes) == 1


def test_a_published_listing_is_the_current_one(images: Path, tmp_path: Path) -> None:
    corpus = opened(config(images, tmp_path / "state"))
    with open_run(corpus) as run:
        made = list_items(run)
        rows = pq.read_table(made.path)
        listing = publish_listing(run, made)
        assert listing.name == corpus.current_listing() == corpus.paths.listing(run.name)
        assert pq.read_table(listing.path).equals(rows)
        assert not made.path.exists()


def test_a_run_that_is_to_stop_lists_no_further_and_publishes_nothing(filled: dict[str, Any]) -> None:
    before = opened(filled).current_listing()
    with open_run(opened(filled)) as run:
        listing = list_items(run)
        run.stop()
        for step in (lambda: list_items(run), lambda: publish_listing(run, listing)):
            with pytest.raises(StoppedError):
                step()
    assert opened(filled).current_listing() == before


def test_a_source_without_images_is_an_error_and_makes_no_listing(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").write_text("no image")
    with (
        open_run(opened(config(tmp_path / "images", tmp_path / "state"))) as run,
        pytest.raises(EmptyListingError, match=r"corpus test lists no image \(.*nothing was changed"),
    ):
        list_items(run)


def test_the_current_listing_is_copied_and_stays_as_it_is(filled: dict[str, Any], images: Path, tmp_path: Path) -> None:
    with open_run(opened(filled)) as run:
        before = pq.read_table(run.corpus.store.local(str(run.corpus.current_listing())))
        copy = copy_current_listing(run)
        assert pq.read_table(copy.path).equals(before)
        copy.path.unlink()
        assert pq.read_table(run.corpus.store.local(str(run.corpus.current_listing()))).equals(before)
    with open_run(opened(config(images, tmp_path / "other"))) as run, pytest.raises(ConfigError, match="no listing"):
        copy_current_listing(run)


def test_a_runner_that_is_not_installed_is_told_before_anything_is_listed(
    filled: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it isn't installed
    with open_run(opened(filled | {"runner": {"kind": "ray"}})) as run:
        with pytest.raises(ConfigError, match=r"not installed; pip install 'pinery\[ray\]'"):
            list_items(run)
        assert list(run.main.scratch.iterdir()) == []
