"""Bytes that a corpus has several times are embedded once; the others take the vector, or the verdict, of the first."""

from __future__ import annotations

from collections import deque

import numpy as np

from pinery.embedding.columns import Batch, Known

KEPT_BYTES = 64 << 20
"""Bytes of vectors that are kept; beyond that the oldest are forgotten, and their images embedded anew if met again."""


class Repeats:
    """The items of one part whose bytes were met before, in it or in the checkpoint. Used by one thread, in order."""

    def __init__(self, known: Known, dimension: int) -> None:
        """`known` has the checkpoint's vectors, of `dimension` values each."""
        self._known, self._dimension = known, dimension
        self._first: dict[str, tuple[Batch, int]] = {}
        """Where the bytes of each hash were met first."""
        self._kept: deque[Batch] = deque()
        self._bytes = 0

    def find(self, batch: Batch) -> None:
        """Note which rows need no embedding, and let go of their bytes."""
        asked = {sha256 for sha256 in batch.sha256 if sha256 is not None and sha256 not in self._first}
        known = self._known.find(list(asked)) if asked else {}
        for row, sha256 in enumerate(batch.sha256):
            if sha256 is None:
                continue
            if (vector := known.get(sha256)) is not None:
                batch.taken[row] = vector
            elif sha256 in self._first:
                batch.repeated[row] = self._first[sha256]
            else:
                self._first[sha256] = (batch, row)
                continue
            batch.data[row] = None

    def settle(self, batch: Batch) -> None:
        """Give its vector or its verdict to each row that needed no embedding; the batches before are settled."""
        if batch.vectors is None and (batch.taken or batch.repeated):
            batch.vectors = np.empty((batch.items, self._dimension), np.float32)
        for row, vector in batch.taken.items():
            self._reuse(batch, row, vector)
        for row, (other, at) in batch.repeated.items():
            if at in other.errors:
                batch.errors[row] = other.errors[at]
            else:
                assert other.vectors is not None
                self._reuse(batch, row, other.vectors[at])
        batch.taken, batch.repeated = {}, {}
        self._keep(batch)

    def _reuse(self, batch: Batch, row: int, vector: np.ndarray) -> None:
        assert batch.vectors is not None
        batch.vectors[row] = vector
        batch.reused.add(row)

    def _keep(self, batch: Batch) -> None:
        self._kept.append(batch)
        self._bytes += _size(batch)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            oldest = self._kept.popleft()
            self._bytes -= _size(oldest)
            for sha256 in oldest.sha256:
                if sha256 is not None and self._first.get(sha256, (None, 0))[0] is oldest:
                    del self._first[sha256]


def _size(batch: Batch) -> int:
    return 0 if batch.vectors is None else batch.vectors.nbytes
