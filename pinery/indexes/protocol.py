"""The Protocol that every kind of index implements; there are `pinecone` and `lance`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinery.records import Identity, Match, Stored

ROWS_SCHEMA = pa.schema([("id", pa.string()), ("values", pa.list_(pa.float32())), ("metadata", pa.string())])
"""Rows of one upsert request: `values` has the index' dimension, `metadata` is JSON text that is sent exactly as it
stands (`{}` for none)."""


class Index(Protocol):
    """One namespace of one index.

    Every method may raise `TransientError` (try the same call again later), `AccessDeniedError` or another
    `TerminalError` (never try again).
    """

    name: str

    @property
    def max_request_rows(self) -> int:
        """The most rows that one `upsert` or `delete` takes."""

    @property
    def max_request_bytes(self) -> int:
        """The most bytes, as `row_bytes` counts them, that the rows of one `upsert` may have together."""

    @property
    def max_concurrency(self) -> int:
        """The most `upsert` calls in flight at once; with 1, each waits until the one before it has ended."""

    def row_bytes(self, rows: pa.RecordBatch) -> NDArray[np.int64]:
        """Return the most bytes that each of `rows` (ROWS_SCHEMA) takes in a request: shape (rows,), int64."""

    def describe(self) -> Identity | None:
        """Return the index's identity, or None where no such index exists.

        Raises IndexMismatchError where it exists with another dimension or metric, or holds rows but no identity.
        """

    def ensure(self, identity: Identity) -> Identity:
        """Create the index with `identity` if absent and wait until it is ready; return the identity found."""

    def read_mark(self) -> str | None:
        """Return the mark of the newest run that wrote to the namespace, or None where there is no mark or no index."""

    def leave_mark(self, mark: str) -> bool:
        """Replace the namespace's mark by `mark`, at most 100 letters, digits and dashes; an empty one removes it.

        Returns False where the index has no room for a mark.
        """

    def shut_out_others(self) -> None:
        """Make the writes fail that another process has begun and not ended, where the index can do that."""

    def upsert(self, rows: pa.RecordBatch) -> None:
        """Write `rows` (ROWS_SCHEMA) in one request, and return once every row is acknowledged.

        Raises RequestTooLargeError where the request must be split, and RowsRefusedError where the index refuses
        something in it for its content.
        """

    def delete(self, ids: Sequence[str]) -> None:
        """Delete at most `max_request_rows` ids in one request; unknown ids are no error."""

    def drop(self) -> None:
        """Delete the namespace with all its rows; the index and its other namespaces stay."""

    def discard(self) -> bool:
        """Delete the index itself, unless another namespace of it holds rows or the service keeps it.

        Returns whether it is gone. Only for an index that no other corpus uses, whose own namespace was dropped.
        """

    def settle(self) -> str:
        """Finish what was written; return how far reads lag behind, or an empty text once they see every write."""

    def fetch(self, ids: Sequence[str]) -> dict[str, Stored]:
        """Return the vectors (dimension values each, in float32 precision) and the metadata of these ids.

        Missing ids are absent, and the dictionary is in no particular order.
        """

    def list_ids(self) -> Iterator[list[str]]:
        """Return an iterator over all ids, in pages; after a TransientError, the same page can be asked for again."""

    def count(self) -> int:
        """Return how many vectors the namespace holds; 0 where it doesn't exist."""

    def holds_rows(self) -> bool:
        """Return whether the namespace holds any vector, by the quickest way to know it."""

    def query(self, vector: Sequence[float], top_k: int, filter: Mapping[str, Any] | None = None) -> list[Match]:
        """Return the `top_k` vectors nearest to `vector` that pass `filter` (Pinecone's filter language), best first.

        `vector` has as many values as the index has dimensions.
        """
