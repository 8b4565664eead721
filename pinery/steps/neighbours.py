"""The neighbours of queries: exact ones among the live vectors of a target, and those that its index finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinery.corpus.outage import retry_through_outage
from pinery.corpus.run import HeldTarget
from pinery.planning.gate import NEIGHBOURS
from pinery.planning.nearest import Metric, Nearest, exact_scores
from pinery.reports import Neighbour
from pinery.steps.live_vectors import LiveVectors

TIE = 1e-5
"""A vector whose score differs by no more than this, relative to the last of the exact neighbours, is as near as that:
indexes compute in float32."""


@dataclass(frozen=True, slots=True)
class Searched:
    """Queries and their exact neighbours, in one order; the query itself is left out of its neighbours."""

    ids: Sequence[str]
    vectors: NDArray[np.float32]
    """The queries' own vectors, shape (queries, dimension)."""
    neighbours: Sequence[Sequence[Neighbour]]
    """The ten nearest of each query, best first; fewer where there are fewer vectors."""


def exact_neighbours(rows: LiveVectors, ids: Sequence[str], metric: Metric, passed: Callable[[int], None]) -> Searched:
    """Find the ten vectors nearest to those of the items `ids`, which all are live, in one pass over all vectors.

    `passed` is told the number of rows of each batch, 0 while queries are looked up, and may raise to end the search.
    Raises DamagedError.
    """
    if not ids:
        return Searched([], np.empty((0, 0), np.float32), [])
    own = rows.of(ids, passed)
    vectors = np.stack([own[one] for one in ids])
    nearest = Nearest(vectors, NEIGHBOURS + 1, metric)
    for batch_ids, values in rows.batches():
        nearest.add(batch_ids, values)
        passed(len(batch_ids))
    found = [_without(query, one) for query, one in zip(ids, nearest.found(), strict=True)]
    return Searched(ids, vectors, found)


def recall_of_index(
    held: HeldTarget, rows: LiveVectors, searched: Searched, metric: Metric, passed: Callable[[int], None]
) -> float | None:
    """Return recall@10 of the target's index against the exact neighbours, a mean over the queries that have any.

    Among vectors as near as each other, any will do. Returns None where no query has a neighbour. `passed` is told the
    number of queries that were answered, and may raise.
    """
    asked = [at for at, exact in enumerate(searched.neighbours) if exact]
    expected = {at: {one.id for one in searched.neighbours[at]} for at in asked}
    found = dict(zip(asked, _ask(held, searched, asked, passed), strict=True))
    others = rows.of(sorted({one for at in asked for one in found[at] if one not in expected[at]}), passed)
    shares = []
    for at in asked:
        last = searched.neighbours[at][-1].score
        as_near = [
            one in expected[at]
            or (one in others and _score(searched.vectors[at], others[one], metric) >= last - TIE * abs(last))
            for one in found[at]
        ]
        shares.append(min(1.0, sum(as_near) / len(expected[at])))
    return float(np.mean(shares)) if shares else None


def _ask(held: HeldTarget, searched: Searched, asked: Sequence[int], passed: Callable[[int], None]) -> list[list[str]]:
    """Return the ids that the index finds for each of the queries in these places, without the query itself."""
    index = held.index

    def ask(at: int) -> list[str]:
        vector = searched.vectors[at].tolist()
        matches = retry_through_outage(held, lambda: index.query(vector, NEIGHBOURS + 1))
        return [match.id for match in matches if match.id != searched.ids[at]][:NEIGHBOURS]

    answers = []
    with ThreadPoolExecutor(index.max_concurrency, thread_name_prefix="recall") as pool:
        for answer in pool.map(ask, asked):
            answers.append(answer)
            passed(1)
    return answers


def _score(query: NDArray[np.float32], vector: NDArray[np.float32], metric: Metric) -> float:
    return float(exact_scores(query[None], vector[None], metric)[0])


def _without(query: str, found: Sequence[Neighbour]) -> list[Neighbour]:
    return [one for one in found if one.id != query][:NEIGHBOURS]
