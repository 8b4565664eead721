"""Items on their way to their vectors, as columns: one object for many of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pinery.errors import ItemDeniedError, MovedError
from pinery.sources.protocol import Fetched

DENIED = "no access"
"""The beginning of the reason of an item that may not be read."""
Vector = npt.NDArray[np.float32]
"""One vector: shape (dimension,)."""
Vectors = npt.NDArray[np.float32]
"""Vectors by row: shape (items, dimension)."""


class Known(Protocol):
    """Vectors that are there already."""

    def find(self, sha256: Sequence[str]) -> Mapping[str, Vector]:
        """Return the vectors of those images whose bytes have one of these hashes (SHA-256 in hex), by hash."""


@dataclass(slots=True)
class Batch:
    """Neighbouring items of a part. A row is an item's place in its batch.

    In the end each row is in exactly one of `errors`, `moved`, `reused` and `embedded`.
    """

    first: int
    """The place of row 0 among the items of the part."""
    data: list[bytes | None]
    """The encoded images that the model has to see; None for all other rows."""
    sha256: list[str | None]
    """The hashes of the images' bytes in hex; None where no bytes were read."""
    errors: dict[int, str] = field(default_factory=dict)
    """The reasons why items are quarantined, by row."""
    denied: set[int] = field(default_factory=set)
    """The rows of those errors that say that access is denied."""
    moved: set[int] = field(default_factory=set)
    """The rows of items that vanished or changed since they were listed."""
    reused: set[int] = field(default_factory=set)
    """The rows whose vector is that of the same bytes embedded before."""
    vectors: Vectors | None = None
    """The vectors by row, once there are any; rows without one hold anything."""
    taken: dict[int, Vector] = field(default_factory=dict)
    """The vectors of bytes that the checkpoint has, by row, until they are in `vectors`."""
    repeated: dict[int, tuple[Batch, int]] = field(default_factory=dict)
    """For each row with bytes that an earlier row has too: that row's batch and row."""

    @property
    def items(self) -> int:
        """The number of rows."""
        return len(self.sha256)

    @property
    def embedded(self) -> int:
        """The number of rows whose vector the model made."""
        return self.items - len(self.errors) - len(self.moved) - len(self.reused)

    @classmethod
    def read(cls, first: int, found: Sequence[Fetched]) -> Batch:
        """Return the batch of items that were read, the first of them at place `first`."""
        data = [one if isinstance(one, bytes) else None for one in found]
        batch = cls(first, data, [None if one is None else hashlib.sha256(one).hexdigest() for one in data])
        for row, one in enumerate(found):
            if isinstance(one, MovedError):
                batch.moved.add(row)
            elif isinstance(one, ItemDeniedError):
                batch.denied.add(row)
                batch.errors[row] = f"{DENIED}: {one}"
            elif not isinstance(one, bytes):
                batch.errors[row] = str(one)
        return batch

    def extend(self, other: Batch) -> None:
        """Add the rows of a batch that was read next."""
        before = self.items
        self.errors |= {before + row: reason for row, reason in other.errors.items()}
        self.denied |= {before + row for row in other.denied}
        self.moved |= {before + row for row in other.moved}
        self.data += other.data
        self.sha256 += other.sha256

    def cut(self, rows: int) -> Batch:
        """Take the first `rows` rows out of a batch that was only read, and return them."""
        taken = self._slice(0, rows)
        rest = self._slice(rows, self.items)
        self.first, self.data, self.sha256 = rest.first, rest.data, rest.sha256
        self.errors, self.denied, self.moved = rest.errors, rest.denied, rest.moved
        return taken

    def _slice(self, start: int, stop: int) -> Batch:
        return Batch(
            self.first + start,
            self.data[start:stop],
            self.sha256[start:stop],
            {row - start: reason for row, reason in self.errors.items() if start <= row < stop},
            {row - start for row in self.denied if start <= row < stop},
            {row - start for row in self.moved if start <= row < stop},
        )
