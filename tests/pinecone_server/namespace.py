"""One namespace: what was written, and what of it reads can see yet."""

import math
from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tests.pinecone_server.filters import Predicate
from tests.pinecone_server.limits import Record

AT_ONCE = -math.inf
"""The due time of a write without lag."""
Changes = Mapping[str, Record | None]
"""The new record per id; None deletes."""


class Namespace:
    """Records under log sequence numbers (LSN); a write is visible once its LSN is indexed.

    Not thread-safe: the data plane holds its lock around every use.
    """

    def __init__(self, name: str, dimension: int, lsn: int = 0) -> None:
        self.name = name
        self.dimension = dimension
        self.lsn = lsn
        self.indexed_lsn = lsn
        self.known = False
        """True where listings show the namespace: from its first visible write, or its creation by name."""
        self.committed: dict[str, Record] = {}
        self.visible: dict[str, Record] = {}
        self._pending: deque[tuple[int, float, Changes]] = deque()
        self._overlooked = 0
        """The last LSN that a read came too early for."""
        self._sorted: list[str] | None = None
        self._matrix: tuple[list[Record], NDArray[np.float32], NDArray[np.float32]] | None = None

    def write(self, changes: Changes, due: float) -> int:
        """Commit `changes`, to become visible at the monotonic time `due`; the LSN of the write."""
        self.lsn += 1
        _apply(changes, self.committed)
        self._pending.append((self.lsn, due, changes))
        return self.lsn

    def advance(self, now: float) -> None:
        """Make visible what is due at `now`, for a read; a write that lags is overlooked by the first one in any case.

        So who doesn't wait for a write never sees it, however slow the machine is.
        """
        while self._pending and self._is_seen(*self._pending[0][:2], now):
            self.indexed_lsn, _, changes = self._pending.popleft()
            _apply(changes, self.visible)
            self.known = True
            self._sorted = self._matrix = None
        self._overlooked = self.lsn

    def _is_seen(self, lsn: int, due: float, now: float) -> bool:
        return due <= now and (lsn <= self._overlooked or due == AT_ONCE)

    def sorted_ids(self) -> list[str]:
        """All visible ids in order."""
        if self._sorted is None:
            self._sorted = sorted(self.visible)
        return self._sorted

    def passing(self, predicate: Predicate) -> list[Record]:
        """The committed records that pass, by id."""
        return [self.committed[id] for id in sorted(self.committed) if predicate(self.committed[id].metadata)]

    def nearest(
        self, vector: NDArray[np.float32], metric: str, top_k: int, predicate: Predicate | None
    ) -> list[tuple[Record, float]]:
        """The `top_k` nearest visible records that pass, best first, ties by id, with Pinecone's scores."""
        records, matrix, norms = self._loaded()
        if metric == "euclidean":
            scores = ((matrix - vector) ** 2).sum(axis=1)
            order = np.argsort(scores, kind="stable")
        else:
            scores = matrix @ vector
            if metric == "cosine":
                scale = norms * np.linalg.norm(vector)
                scores = np.divide(scores, scale, out=np.zeros_like(scores), where=scale > 0)
            order = np.argsort(-scores, kind="stable")
        found: list[tuple[Record, float]] = []
        for position in order:
            if len(found) == top_k:
                break
            record = records[position]
            if predicate is None or predicate(record.metadata):
                found.append((record, float(scores[position])))
        return found

    def _loaded(self) -> tuple[list[Record], NDArray[np.float32], NDArray[np.float32]]:
        if self._matrix is None:
            records = [self.visible[id] for id in self.sorted_ids()]
            matrix = np.zeros((len(records), self.dimension), dtype=np.float32)
            for row, record in enumerate(records):
                matrix[row] = record.values
            self._matrix = records, matrix, np.linalg.norm(matrix, axis=1)
        return self._matrix


def _apply(changes: Changes, records: dict[str, Record]) -> None:
    for id, record in changes.items():
        if record is None:
            records.pop(id, None)
        else:
            records[id] = record
