"""Two targets of one corpus: open at once, planned from one listing, and each brought true under its lease."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.reindex import reindex
from pinery.checkpoint.alias import IndexEntry, write_alias
from pinery.checkpoint.lease import Lease, read_holder
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.errors import LeaseHeldError, RefusedError
from pinery.sources.folder import Folder
from pinery.sources.protocol import Fetched
from tests.corpora import config, paint
from tests.filled import bring, opened
from tests.flows.conftest import AfterPlanning


def keep(settings: dict[str, Any], entry: IndexEntry) -> None:
    """Have every run keep another index true beside the live one."""
    corpus = opened(settings)
    alias, tag = corpus.alias()
    kept = [replace(entry, until="2999-01-01T00:00:00+00:00")]
    write_alias(corpus.store, corpus.paths.alias, replace(alias, kept=kept), tag)


def held(corpus: Corpus, entry: IndexEntry) -> dict[str, tuple[float, ...]]:
    index = corpus.open_target(entry).index
    return {id: stored.values for page in index.list_ids() for id, stored in index.fetch(page).items()}


@pytest.fixture
def settings(images: Path, tmp_path: Path) -> dict[str, Any]:
    """A corpus with a live index, and another of the same model that is kept true beside it."""
    made = config(images, tmp_path / "state")
    bring(made)
    keep(made, replace(opened(made).target.entry, name="other"))
    return made


def test_a_run_brings_both_true_and_embeds_each_image_once(settings: dict[str, Any], images: Path) -> None:
    report = reindex(settings)
    main, kept = report["targets"]
    assert (main["role"], main["embedded"], main["upserted"], main["held"]) == ("live", 0, 0, 12)
    assert (kept["role"], kept["index"], kept["upserted"], kept["held"]) == ("kept", "other", 12, 12)
    paint(images / "red-9.jpg", "red", 9)
    (images / "blue-0.jpg").unlink()
    report = reindex(settings)
    assert [(row["embedded"], row["upserted"], row["deleted"]) for row in report["targets"]] == [(1, 1, 1), (0, 1, 1)]
    assert (report["embedded"], report["upserted"], report["deleted"]) == (1, 1, 1), "the main target's"
    corpus = opened(settings)
    alias, _ = corpus.alias()
    assert alias.live is not None
    assert held(corpus, alias.live) == held(corpus, alias.kept[0])
    assert sorted(held(corpus, alias.live)) == sorted(path.name for path in images.iterdir())


def test_what_one_target_embedded_is_not_read_again_for_another_though_a_part_of_it_moved(
    settings: dict[str, Any], images: Path, after_planning: AfterPlanning, monkeypatch: pytest.MonkeyPatch
) -> None:
    reindex(settings)
    new = [images / f"zebra-{number}.jpg" for number in range(10)]
    for number, path in enumerate(new):
        paint(path, "green", 100 + number)
    after_planning(lambda: [path.unlink() for path in new[:5]])  # the first part of two
    read: list[str] = []
    fetch = Folder.read

    def counted(source: Folder, items: Sequence[tuple[str, str]], max_bytes: int) -> list[Fetched]:
        read.extend(uri for uri, _ in items)
        return fetch(source, items, max_bytes)

    monkeypatch.setattr(Folder, "read", counted)
    report = reindex(settings)
    assert [(row["upserted"], row["error"]) for row in report["targets"]] == [(5, None), (5, None)]
    assert len(read) == len(set(read)) == 10


def test_a_limit_restricts_the_work_on_both(images: Path, tmp_path: Path) -> None:
    made = config(images, tmp_path / "state")
    reindex(made)
    keep(made, replace(opened(made).target.entry, name="other"))
    for number in (7, 8, 9):
        paint(images / f"red-{number}.jpg", "red", number)
    first = sorted(path.name for path in images.iterdir())[:12]
    report = reindex(made, limit=12)
    corpus = opened(made)
    alias, _ = corpus.alias()
    assert [row["embedded"] for row in report["targets"]] == [sum(name[-5] in "789" for name in first), 0]
    assert sorted(held(corpus, alias.kept[0])) == first


def test_a_guard_that_refuses_one_target_refuses_the_run_before_any_is_touched(
    settings: dict[str, Any], images: Path
) -> None:
    reindex(settings)
    for path in list(images.iterdir())[:8]:
        path.unlink()
    with pytest.raises(RefusedError, match="delete_guard"):
        reindex(settings)
    corpus = opened(settings)
    alias, _ = corpus.alias()
    assert alias.live is not None
    assert len(held(corpus, alias.live)) == len(held(corpus, alias.kept[0])) == 12


def test_targets_of_two_models_have_a_lease_each(settings: dict[str, Any]) -> None:
    corpus = opened(settings)
    entry = corpus.target.entry
    other = replace(entry, name="another-model", card=replace(entry.card, decoder="scaled"))
    keep(settings, other)
    with open_run(corpus, kept=True) as run:
        assert [one.target.name for one in run.targets] == [entry.name, other.name]
        assert len({one.lease for one in run.targets}) == 2
        for key in (entry.card.key, other.card.key):
            holder = read_holder(corpus.store, corpus.paths.lease(key))
            assert holder is not None
            assert holder.run == run.name
        with pytest.raises(LeaseHeldError), open_run(opened(settings)):
            pass
        assert run.targets[1].target.model().card == other.card
    assert read_holder(corpus.store, corpus.paths.lease(other.card.key)) is None


def test_a_kept_target_that_another_run_holds_is_left_out(settings: dict[str, Any]) -> None:
    corpus = opened(settings)
    other = replace(corpus.named, name="another-model", card=replace(corpus.named.card, decoder="scaled"))
    keep(settings, other)
    place = corpus.paths.lease(other.card.key)
    with Lease(corpus.store, place, lambda: "another-run", 120, False, lambda _: None):
        report = reindex(settings)
    live, kept = report["targets"]
    assert (live["role"], live["verified"], live["held"]) == ("live", True, 12)
    assert (kept["index"], kept["verified"], kept["held"]) == ("another-model", False, None)
    assert "another-run" in kept["error"]
    assert reindex(settings)["targets"][1]["held"] == 12, "the next run brings it true"
