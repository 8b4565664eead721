"""What a score means: the quantiles of random pairs, where they come from, and where they are kept."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pinery
from pinery.corpus.target import Target
from pinery.planning.nearest import Metric, exact_scores
from pinery.search import scale as module
from pinery.search.scale import LEVELS, Scale, measure, read_scale, write_scale
from pinery.search.scales import Scales
from pinery.search.vectors import ById
from tests.corpora import config, paint
from tests.filled import bring, opened
from tests.vectors import OLD, Vectors, filled_with, labelled_items, settings_of, vectors, written_listing

ROWS = 300


def target_with(tmp_path: Path, values: Vectors, live: int, **changes: Any) -> tuple[Target, str]:
    """A target with these vectors in parts of 64 rows, and a listing in which only the first `live` of them are."""
    settings = settings_of(tmp_path / "state", OLD, **changes)
    items = labelled_items([None] * len(values))
    with filled_with(settings, items, values) as held:
        store, name = held.target.store, held.target.paths.listing("20261127T000000000000Z-000000")
        store.publish(name, written_listing(held.scratch, items[:live]))
        return held.target, name


def all_pairs(values: Vectors, metric: Metric) -> Any:
    left, right = np.triu_indices(len(values), 1)
    return exact_scores(values[left], values[right], metric)


@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean"])
def test_a_strength_is_the_share_of_pairs_of_live_vectors_that_are_less_near(tmp_path: Path, metric: Metric) -> None:
    values = vectors(1, ROWS, near=[n % 5 for n in range(ROWS)])
    target, listing = target_with(tmp_path, values, 200)
    scale = measure(target.checkpoint, target.store, listing, metric)
    scores = all_pairs(values[:200], metric)
    assert (scale.rows, scale.vectors, scale.pairs) == (200, 200, len(scores)), "the vectors of no item are left out"
    for share in (0.02, 0.5, 0.9, 0.99, 0.995):
        score = float(np.quantile(scores, share))
        assert scale.strength(score) == pytest.approx(np.mean(scores < score), abs=0.002)
    assert scale.strength(float(scores.max()) + 1) == 1
    assert scale.strength(float(scores.min()) - 1) == 0
    strengths = [scale.strength(float(score)) for score in np.sort(scores)]
    assert strengths == sorted(strengths, key=lambda one: one or 0)


def test_a_sample_of_row_groups_knows_the_quantiles_of_all_although_neighbours_are_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 64 * 40
    values = vectors(2, rows, near=[n // 64 for n in range(rows)], spread=0.3)
    target, listing = target_with(tmp_path, values, rows)
    whole = measure(target.checkpoint, target.store, listing, "cosine")
    monkeypatch.setattr(module, "GROUPS", 20)
    some = measure(target.checkpoint, target.store, listing, "cosine")
    assert some.vectors < whole.vectors
    for score in np.interp([0.9, 0.975, 0.98, 0.99], LEVELS, whole.scores):
        assert some.strength(float(score)) == pytest.approx(whole.strength(float(score)), abs=0.012)
    assert some == measure(target.checkpoint, target.store, listing, "cosine"), "the sample is always the same"


def test_equal_scores_are_no_nearer_than_each_other() -> None:
    scale = Scale("l", 100, 100, 4950, tuple(0.0 if level < 0.5 else 0.5 if level < 0.9 else 1.0 for level in LEVELS))
    assert [scale.strength(score) for score in (-1, 0, 0.5, 1, 1.1)] == [0, 0, 0.5, 0.9, 1]
    assert 0.5 < (scale.strength(0.75) or 0) < 0.9


@pytest.mark.parametrize(("rows", "strong"), [(46, 0.95), (160, 0.95), (1000, 0.992), (8000, 0.999), (10**6, 0.999)])
def test_a_strong_match_is_rarer_in_a_larger_corpus(rows: int, strong: float) -> None:
    assert Scale("l", rows, 46, 1035, tuple(LEVELS)).strong == strong


def test_few_images_say_nothing() -> None:
    scale = Scale("l", 12, 12, 66, tuple(LEVELS))
    assert (scale.strength(0.9), scale.strong) == (None, None)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_checkpoint_of_next_to_nothing_has_a_scale_that_says_nothing(tmp_path: Path, rows: int) -> None:
    target, listing = target_with(tmp_path, vectors(3, 5), rows)
    scale = measure(target.checkpoint, target.store, listing, "cosine")
    assert (scale.rows, scale.vectors, scale.strength(0.5)) == (rows, rows, None)


def name_of(target: Target) -> str:
    return target.paths.scores(target.card.key, "cosine")


def test_a_scale_is_measured_once_for_a_listing_and_kept_in_the_state(tmp_path: Path) -> None:
    target, listing = target_with(tmp_path, vectors(4, 100), 80)
    first = Scales(wait=True).of(target, listing)
    found = read_scale(target.store, name_of(target))
    assert found is not None
    assert found[0] == first
    marked = Scale(listing, 1, 1, 2000, found[0].scores)
    write_scale(target.store, name_of(target), marked, found[1])
    assert Scales(wait=True).of(target, listing) == marked, "it was read, not measured again"
    later = target.paths.listing("20261128T000000000000Z-000000")
    target.store.publish(later, written_listing(tmp_path, labelled_items([None] * 90)))
    newer = Scales(wait=True).of(target, later)
    assert newer is not None
    assert (newer.listing, newer.vectors) == (later, 90)
    assert Scales(wait=True).of(target, listing) == first
    kept = read_scale(target.store, name_of(target))
    assert kept is not None
    assert kept[0] == newer, "an older listing's takes no newer one's place"


def test_until_a_scale_is_measured_queries_go_without_or_with_the_one_before(tmp_path: Path) -> None:
    target, listing = target_with(tmp_path, vectors(5, 100), 80)
    scales = Scales(wait=False)
    scales.of(target, listing)
    scales.found()
    first = scales.of(target, listing)
    assert first is not None
    later = target.paths.listing("20261128T000000000000Z-000000")
    target.store.publish(later, written_listing(tmp_path, labelled_items([None] * 90)))
    assert scales.of(target, later) in (first, measure(target.checkpoint, target.store, later, "cosine"))
    scales.found()
    newer = scales.of(target, later)
    assert newer is not None
    assert newer.listing == later


def test_a_scale_that_can_not_be_read_is_measured_again(tmp_path: Path) -> None:
    target, listing = target_with(tmp_path, vectors(6, 100), 80)
    first = Scales(wait=True).of(target, listing)
    path = Path(target.store.root) / name_of(target)
    for text in ("", "[1]", json.dumps({"listing": listing, "rows": 1, "vectors": 1, "pairs": 9000, "scores": [1]})):
        path.write_text(text)
        assert Scales(wait=True).of(target, listing) == first
        assert json.loads(path.read_text())["listing"] == listing


def test_a_state_that_can_not_be_written_is_searched_all_the_same(tmp_path: Path) -> None:
    target, listing = target_with(tmp_path, vectors(7, 100), 80)
    path = Path(target.store.root) / name_of(target)
    path.with_name(f".{path.name}.lock").mkdir()  # which no one, root included, can write to as a file
    scale = Scales(wait=True).of(target, listing)
    assert scale is not None
    assert scale.vectors == 80
    assert not path.exists()


def test_a_damaged_part_costs_the_strengths_and_not_the_search(tmp_path: Path) -> None:
    target, listing = target_with(tmp_path, vectors(8, 100), 80)
    [first, *_] = sorted((Path(target.store.root) / target.checkpoint.folder).glob("*.parquet"))
    first.write_bytes(first.read_bytes()[:-100])
    assert Scales(wait=True).of(target, listing) is None


def test_hits_say_how_near_they_are_and_whether_one_is_strong(images: Path, tmp_path: Path) -> None:
    for label, number in itertools.product(("red", "green", "blue"), range(4, 20)):
        paint(images / f"{label}-{number}.jpg", label, number)
    (images / "red-99.jpg").write_bytes((images / "red-0.jpg").read_bytes() + b"\0")
    settings = config(images, tmp_path / "state")
    bring(settings)
    with pinery.open(settings).searcher(wait_for_strengths=True) as searcher:
        hits = searcher.by_id("red-0.jpg", top_k=61)
        strengths = [hit.strength for hit in hits]
        assert strengths == sorted(strengths, key=lambda one: -(one or 0))
        assert (strengths[0], hits.strong, hits.strong_from) == (1.0, True, 0.95)
        assert hits[-1].strength == pytest.approx(0, abs=0.3)
        assert searcher.by_id("red-0.jpg", top_k=1).strong is None, "an item is no match of its own"
        assert searcher.by_vector(searcher.vector_of(ById("red-0.jpg"))).hits == searcher.by_id("red-0.jpg").hits
        far = searcher.by_id("red-0.jpg", filter={"label": "blue"})
        assert far.strong is False
        unknown = searcher.search(ById("red-0.jpg"), plus=[ById("red-1.jpg")])
        assert ({hit.strength for hit in unknown}, unknown.strong, unknown.strong_from) == ({None}, None, None)
    corpus = opened(settings)
    assert read_scale(corpus.store, corpus.paths.scores(corpus.target.card.key, "cosine")) is not None
