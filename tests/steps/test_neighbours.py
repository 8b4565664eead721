"""Exact neighbours over real parts, and how many of them an index finds."""

from pathlib import Path

import numpy as np
import pytest

from pinery.corpus.run import HeldTarget
from pinery.planning.nearest import exact_scores
from pinery.records import Item
from pinery.reports import Neighbour
from pinery.steps.live_vectors import LiveVectors, live_vectors
from pinery.steps.neighbours import Searched, exact_neighbours, recall_of_index
from tests.indexes.rows import batch
from tests.vectors import NEW, Vectors, filled_with, labelled_items, settings_of, vectors, written_listing

ITEMS = labelled_items(["a"] * 200)
VALUES = vectors(1, 200)
ASKED = [item.id for item in ITEMS[::10]]


def rows_of(held: HeldTarget, items: list[Item] = ITEMS) -> LiveVectors:
    with held.planned(written_listing(held.scratch, items)) as con:
        return live_vectors(con, held.target.checkpoint, held.scratch / "live.parquet")


def searched(held: HeldTarget, passed: list[int] | None = None) -> Searched:
    heard: list[int] = [] if passed is None else passed
    return exact_neighbours(rows_of(held), ASKED, held.target.config.index.metric, heard.append)


def recall(held: HeldTarget, found: Searched) -> float | None:
    return recall_of_index(held, rows_of(held), found, held.target.config.index.metric, lambda _: None)


def by_hand(values: Vectors, at: int) -> list[Neighbour]:
    """The ten nearest by cosine of item `at`, all scores sorted."""
    scores = exact_scores(np.repeat(values[at : at + 1], len(values), axis=0), values, "cosine")
    order = [other for other in np.lexsort([np.arange(len(values)), -scores]).tolist() if other != at]
    return [Neighbour(ITEMS[other].id, scores[other]) for other in order[:10]]


def test_neighbours_are_the_ten_nearest_without_the_query(tmp_path: Path) -> None:
    passed: list[int] = []
    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS, VALUES) as held:
        found = searched(held, passed)
    assert found.ids == ASKED
    np.testing.assert_array_equal(found.vectors, VALUES[::10])
    assert found.neighbours == [by_hand(VALUES, at) for at in range(0, 200, 10)]
    assert sum(passed) == 200


def test_a_search_ends_between_two_batches(tmp_path: Path) -> None:
    def stop(rows: int) -> None:
        raise InterruptedError

    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS, VALUES) as held, pytest.raises(InterruptedError):
        exact_neighbours(rows_of(held), ASKED, "cosine", stop)


@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean"])
def test_an_index_that_searches_all_finds_all(tmp_path: Path, metric: str) -> None:
    settings = settings_of(tmp_path / "state", NEW, index={"kind": "lance", "metric": metric})
    with filled_with(settings, ITEMS, VALUES) as held:
        assert recall(held, searched(held)) == 1


def test_recall_is_the_share_that_the_index_finds(tmp_path: Path) -> None:
    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS, VALUES) as held:
        found = searched(held)
        lost = [found.neighbours[at][at % 10].id for at in range(len(ASKED))]
        held.index.delete(lost)
        gone = set(lost)
        expected = [sum(one.id not in gone for one in neighbours) / 10 for neighbours in found.neighbours]
        # The queries' vectors are the checkpoint's, so that a query that is lost itself is asked all the same.
        assert recall(held, found) == pytest.approx(np.mean(expected))


def test_a_vector_under_another_id_is_not_found(tmp_path: Path) -> None:
    """The index gives ids whose vectors are elsewhere by the checkpoint, however high its scores are."""
    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS, VALUES) as held:
        found = searched(held)
        turned = [*range(1, 200), 0]
        held.index.upsert(batch([item.id for item in ITEMS], VALUES[turned].tolist()))
        assert recall(held, found) == pytest.approx(0, abs=0.2)


def test_vectors_as_near_as_each_other_are_as_good(tmp_path: Path) -> None:
    """Fifty images of the same bytes: the index may name any ten of them."""
    values = VALUES.copy()
    values[50:100] = values[50]
    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS, values) as held:
        found = searched(held)
        [same] = [one for one, asked in zip(found.neighbours, ASKED, strict=True) if asked == "i0050"]
        assert {one.id for one in same} == {f"i{at:04}" for at in range(51, 61)}
        assert recall(held, found) == 1
        # Those that the exact search names are gone from the index; the others are as near.
        held.index.delete([one.id for one in same])
        asked = [at for at, one in enumerate(ASKED) if "i0050" <= one < "i0100"]
        only = Searched([ASKED[at] for at in asked], found.vectors[asked], [found.neighbours[at] for at in asked])
        assert recall(held, only) == 1


def test_without_queries_there_is_no_recall(tmp_path: Path) -> None:
    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS[:1], VALUES[:1]) as held:
        rows = rows_of(held, ITEMS[:1])
        alone = exact_neighbours(rows, [ITEMS[0].id], "cosine", lambda _: None)
        assert (list(alone.neighbours), recall_of_index(held, rows, alone, "cosine", lambda _: None)) == ([[]], None)
        nobody = exact_neighbours(rows, [], "cosine", lambda _: None)
        assert recall_of_index(held, rows, nobody, "cosine", lambda _: None) is None
