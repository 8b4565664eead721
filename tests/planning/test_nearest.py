"""Neighbours found in a stream are those of a search over all vectors at once, in whatever batches they come."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pinery.planning import nearest as module
from pinery.planning.nearest import Metric, Nearest, exact_scores
from pinery.reports import Neighbour

METRICS: tuple[Metric, ...] = ("cosine", "dotproduct", "euclidean")

Vectors = NDArray[np.float32]


def brute_force(queries: Vectors, ids: Sequence[str], values: Vectors, k: int, metric: Metric) -> list[list[Neighbour]]:
    """All scores in float64, all sorted."""
    found = []
    for query in queries:
        scores = exact_scores(np.broadcast_to(query, values.shape), values, metric).tolist()
        ranked = sorted(zip(scores, ids, strict=True), key=lambda one: (-one[0], one[1]))
        found.append([Neighbour(id, score) for score, id in ranked[:k]])
    return found


def streamed(
    queries: Vectors, ids: Sequence[str], values: Vectors, k: int, metric: Metric, cuts: Sequence[int] = ()
) -> list[list[Neighbour]]:
    """The neighbours as the stream has them, cut into batches at these places."""
    search = Nearest(queries, k, metric)
    for start, stop in pairwise([0, *sorted(cuts), len(ids)]):
        search.add(ids[start:stop], values[start:stop])
    return search.found()


def random_vectors(seed: int, *shape: int) -> Vectors:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=200)
@given(
    seed=st.integers(0, 1 << 30),
    rows=st.integers(1, 120),
    queries=st.integers(1, 7),
    dimension=st.integers(1, 9),
    k=st.integers(1, 15),
    distinct=st.integers(1, 120),
    metric=st.sampled_from(METRICS),
    cuts=st.lists(st.integers(0, 120), max_size=5),
)
def test_a_stream_finds_what_a_search_over_all_finds(
    seed: int, rows: int, queries: int, dimension: int, k: int, distinct: int, metric: Metric, cuts: list[int]
) -> None:
    chooser = np.random.default_rng(seed)
    # Few distinct vectors make many ties, which only their ids can break.
    values = random_vectors(seed, distinct, dimension)[chooser.integers(0, distinct, rows)]
    ids = [f"i{number}" for number in chooser.permutation(rows)]
    asked = np.concatenate([values[:1], random_vectors(seed + 1, queries, dimension)])
    cuts = [min(cut, rows) for cut in cuts]
    assert streamed(asked, ids, values, k, metric, cuts) == brute_force(asked, ids, values, k, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scores", [1, 50, 1 << 21])
def test_memory_for_few_scores_changes_nothing(monkeypatch: pytest.MonkeyPatch, metric: Metric, scores: int) -> None:
    values, queries = random_vectors(1, 3000, 64), random_vectors(2, 20, 64)
    ids = [f"i{number}" for number in range(3000)]
    expected = brute_force(queries, ids, values, 10, metric)
    monkeypatch.setattr(module, "SCORES_AT_ONCE", scores)
    monkeypatch.setattr(module, "VALUES_AT_ONCE", scores)
    assert streamed(queries, ids, values, 10, metric, [1000, 1001, 1700]) == expected


@pytest.mark.parametrize("metric", METRICS)
def test_differences_below_the_precision_of_float32_products_still_order_neighbours(metric: Metric) -> None:
    """Vectors next to each other: their products in float32 come in any order, their exact scores don't."""
    values = np.repeat(random_vectors(3, 1, 256), 500, axis=0)
    for row in range(500):
        values[row, row % 256] = np.nextafter(values[row, row % 256], np.float32(9), dtype=np.float32)
    queries, ids = random_vectors(4, 8, 256), [f"i{number:03}" for number in range(500)]
    assert streamed(queries, ids, values, 10, metric, [77, 300]) == brute_force(queries, ids, values, 10, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_vectors_have_equal_scores_and_come_in_the_order_of_their_ids(metric: Metric) -> None:
    values = random_vectors(5, 1000, 33)
    same = [3, 400, 401, 998]
    values[same] = values[3]
    ids = [f"i{999 - number:03}" for number in range(1000)]
    [found] = streamed(values[3:4] * 2, ids, values, 4, metric, [400, 990])
    if metric == "cosine":
        assert [one.id for one in found] == ["i001", "i598", "i599", "i996"]
    scores = {one.score for one in found if one.id in ("i001", "i598", "i599", "i996")}
    assert len(scores) <= 1


def test_scores_are_those_of_the_metric() -> None:
    left, right = np.float32([[3, 4]]), np.float32([[4, 3]])
    assert exact_scores(left, right, "cosine") == pytest.approx([24 / 25])
    assert exact_scores(left, right, "dotproduct") == pytest.approx([24])
    assert exact_scores(left, right, "euclidean") == pytest.approx([-2])


@pytest.mark.parametrize("metric", METRICS)
def test_vectors_that_are_not_finite_are_nobodys_neighbours(metric: Metric) -> None:
    values = random_vectors(6, 20, 3)
    values[4], values[5, 1] = np.nan, np.inf
    ids = [f"i{number}" for number in range(20)]
    sound = [number for number in range(20) if number not in (4, 5)]
    queries = values[[0, 4, 5]]
    found = streamed(queries, ids, values, 30, metric)
    expected = brute_force(queries[:1], [ids[at] for at in sound], values[sound], 30, metric)
    assert found == [*expected, [], []]


def test_a_vector_of_length_0_has_no_direction() -> None:
    values = np.float32([[0, 0], [1, 0], [0, 2]])
    assert streamed(values, ["a", "b", "c"], values, 5, "cosine")[0] == []
    assert [one.id for one in streamed(values, ["a", "b", "c"], values, 5, "cosine")[1]] == ["b", "c"]
    assert [one.id for one in streamed(values, ["a", "b", "c"], values, 5, "euclidean")[0]] == ["a", "b", "c"]


@given(length=st.floats(1e-6, 1e6))
@example(length=1.0)
def test_lengths_play_no_part_in_the_cosine(length: float) -> None:
    values, queries = random_vectors(7, 50, 16), random_vectors(8, 3, 16)
    ids = [f"i{number:02}" for number in range(50)]
    plain = streamed(queries, ids, values, 5, "cosine")
    scaled = streamed(queries * np.float32(length), ids, values, 5, "cosine")
    assert [[one.id for one in found] for found in plain] == [[one.id for one in found] for found in scaled]


def test_without_queries_there_is_nothing_to_find() -> None:
    assert streamed(np.empty((0, 4), np.float32), ["a"], random_vectors(9, 1, 4), 5, "cosine") == []


def test_without_vectors_there_are_no_neighbours() -> None:
    assert streamed(random_vectors(10, 2, 4), [], np.empty((0, 4), np.float32), 5, "cosine") == [[], []]
