"""Exact nearest neighbours over a stream of vectors, in memory that doesn't grow with the stream.

All scores of a batch come from one matrix product in float32, which is fast and not quite exact: its last digits
depend on where in the batch a vector stands. So it only decides which vectors may be near enough, by a bound on its
error. Their scores are computed once more in float64, each by itself. Equal vectors therefore have equal scores,
whatever their place in the stream, and the order of the neighbours depends on nothing but the vectors and ids.
"""

from bisect import insort
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pinery.reports import Neighbour

Metric = Literal["cosine", "dotproduct", "euclidean"]

SCORES_AT_ONCE = 1 << 21
"""The scores that are in memory at once: 8 MiB of them."""
VALUES_AT_ONCE = 1 << 20
"""The values of vectors in float64 that are in memory at once: 8 MiB of them, and as many of their queries."""


class Nearest:
    """The `k` vectors nearest to each query among all that were added, ties in the order of their ids.

    `queries` has shape (queries, dimension), float32. A vector without a finite value everywhere is nobody's
    neighbour; with the metric `cosine`, neither is one of length 0.
    """

    def __init__(self, queries: NDArray[np.float32], k: int, metric: Metric = "cosine") -> None:
        self._k, self._metric = k, metric
        usable = _usable(_lengths(queries), metric)
        self._queries: NDArray[np.float32] = np.where(usable[:, None], queries, np.float32(0))
        self._lengths = _lengths(self._queries)
        self._factors = self._queries
        if metric == "cosine":
            self._factors = (self._queries / np.where(usable, self._lengths, 1)[:, None]).astype(np.float32)
        self._found: list[list[tuple[float, str]]] = [[] for _ in queries]
        """The nearest so far of each query, best first: the negative score, and the id."""
        self._worst = np.where(usable, -np.inf, np.inf)
        """The score that a vector must have at least to be among them, shape (queries,)."""

    def add(self, ids: Sequence[str], values: NDArray[np.float32]) -> None:
        """Take in more vectors, shape (rows, dimension), float32. Each id comes once in all."""
        if not len(self._queries):
            return
        step = max(1, SCORES_AT_ONCE // len(self._queries))
        for start in range(0, len(ids), step):
            self._add(ids[start : start + step], values[start : start + step])

    def found(self) -> list[list[Neighbour]]:
        """Return the neighbours of each query, best first: `k`, or as many as there are."""
        return [[Neighbour(id, -score) for score, id in one] for one in self._found]

    def _add(self, ids: Sequence[str], values: NDArray[np.float32]) -> None:
        lengths = _lengths(values)
        usable = np.flatnonzero(_usable(lengths, self._metric))
        if len(usable) < len(ids):
            ids, values, lengths = [ids[at] for at in usable.tolist()], values[usable], lengths[usable]
        if not ids:
            return
        scores, error = self._approximate(values, lengths)
        near = scores >= _below(self._worst - error)[:, None]
        if len(ids) > self._k and np.count_nonzero(near) > self._k * len(near):
            best = np.partition(scores, -self._k, axis=1)[:, -self._k]
            near &= scores >= _below(best - 2 * error)[:, None]
        queries, rows = np.nonzero(near)
        step = max(1, VALUES_AT_ONCE // values.shape[1])
        for start in range(0, len(queries), step):
            self._take(ids, values, queries[start : start + step], rows[start : start + step])

    def _approximate(
        self, values: NDArray[np.float32], lengths: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return scores (queries, rows), and the most by which those of each query may be wrong (queries,)."""
        scores, longest = self._factors @ values.T, float(lengths.max())
        if self._metric == "cosine":
            scores *= (1 / lengths).astype(np.float32)
            size = np.ones_like(self._lengths)
        elif self._metric == "dotproduct":
            size = self._lengths * longest
        else:
            scores *= 2
            scores -= (lengths**2).astype(np.float32)
            scores -= (self._lengths**2).astype(np.float32)[:, None]
            size = (self._lengths + longest) ** 2
        # Whatever the order of a sum of n products in float32 is, it is wrong by at most n/2 eps of their sizes; the
        # other operations add less than eight.
        return scores, (values.shape[1] / 2 + 8) * float(np.finfo(np.float32).eps) * size

    def _take(
        self,
        ids: Sequence[str],
        values: NDArray[np.float32],
        queries: NDArray[np.intp],
        rows: NDArray[np.intp],
    ) -> None:
        """Enter the pairs of a query and a row that are near enough by their exact score."""
        scores = exact_scores(self._queries[queries], values[rows], self._metric)
        enough = np.flatnonzero(scores >= self._worst[queries])
        for query, row, score in zip(
            queries[enough].tolist(), rows[enough].tolist(), scores[enough].tolist(), strict=True
        ):
            nearest = self._found[query]
            insort(nearest, (-score, ids[row]))
            del nearest[self._k :]
            if len(nearest) == self._k:
                self._worst[query] = -nearest[-1][0]


def exact_scores(left: NDArray[np.float32], right: NDArray[np.float32], metric: Metric) -> NDArray[np.float64]:
    """Return the scores of pairs of vectors, both of shape (pairs, dimension), in float64: shape (pairs,).

    A higher score is nearer: the cosine, the product, or the negative square of the distance.
    """
    # In one order in memory, for the order of a sum follows from it.
    one, other = np.ascontiguousarray(left, np.float64), np.ascontiguousarray(right, np.float64)
    if metric == "euclidean":
        squares: NDArray[np.float64] = ((one - other) ** 2).sum(axis=1)
        return -squares
    products: NDArray[np.float64] = (one * other).sum(axis=1)
    if metric == "cosine":
        products /= np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
    return products


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.sqrt(squares)


def _usable(lengths: NDArray[np.float64], metric: Metric) -> NDArray[np.bool_]:
    finite: NDArray[np.bool_] = np.isfinite(lengths)
    return finite & (lengths > 0) if metric == "cosine" else finite


def _below(limits: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the limits in float32, rounded down: comparing in float64 would convert all scores."""
    with np.errstate(over="ignore"):
        return np.nextafter(limits.astype(np.float32), np.float32(-np.inf))
