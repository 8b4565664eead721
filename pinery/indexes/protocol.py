"""What Pinery asks of an index; `pinecone` and `lance` are the two kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from pinery.records import Identity, Match, Stored

ROWS_SCHEMA = pa.schema([("id", pa.string()), ("values", pa.list_(pa.float32())), ("metadata", pa.string())])
"""Rows of one upsert request; `metadata` is JSON text, sent exactly as it stands (`{}` for none)."""


class Index(Protocol):
    """One namespace of one index.

    Every method may raise `TransientError` (try the same call again later), `AccessDeniedError` or another
    `TerminalError` (never try again).
    """

    kind: str
    name: str
    namespace: str

    @property
    def max_request_rows(self) -> int:
        """The most rows that one `upsert` or `delete` takes."""

    @property
    def max_request_bytes(self) -> int:
        """The most encoded bytes that one `upsert` takes."""

    @property
    def value_bytes(self) -> int | None:
        """Encoded bytes of one vector value; None where they depend on the value, as in JSON."""

    @property
    def max_concurrency(self) -> int:
        """How many `upsert` calls may be in flight at once; 1 means none beside another."""

    def describe(self) -> Identity | None:
        """The index's identity, or None where no such index exists.

        Raises IndexMismatchError where it exists with another dimension or metric, or is not empty and without tags.
        """

    def ensure(self, identity: Identity) -> Identity:
        """Create the index with `identity` if absent and wait until it is ready; return the identity found."""

    def read_mark(self) -> str | None:
        """The mark of the newest run that wrote to the namespace; None where there is none, or no index."""

    def leave_mark(self, mark: str) -> bool:
        """Put `mark` (at most 100 letters, digits and dashes) in the place of the namespace's; empty: take it away.

        Returns False where the index has no place for it.
        """

    def shut_out_others(self) -> None:
        """Make writes fail that another process has begun and not ended, where the index can do that."""

    def upsert(self, rows: pa.RecordBatch) -> None:
        """Write `rows` (ROWS_SCHEMA) in one request; returns only when every row is acknowledged.

        Raises RequestTooLargeError where the request must be split, RowsRefusedError where the index refused
        something in it for its content.
        """

    def delete(self, ids: Sequence[str]) -> None:
        """Delete ids in one request; unknown ids are no error."""

    def drop(self) -> None:
        """Delete the namespace with all its rows; the index and its other namespaces stay."""

    def settle(self) -> str:
        """Finish what was written; return how far reads are behind it, empty once they see every acknowledged write."""

    def fetch(self, ids: Sequence[str]) -> dict[str, Stored]:
        """Fetch vectors and metadata by id; missing ids are absent."""

    def list_ids(self) -> Iterator[list[str]]:
        """All ids of the namespace, in pages; a page that raised TransientError can be asked for again."""

    def count(self) -> int:
        """Vectors in the namespace, 0 where it doesn't exist."""

    def query(self, vector: Sequence[float], top_k: int, filter: Mapping[str, Any] | None = None) -> list[Match]:
        """The `top_k` nearest vectors that pass `filter` (Pinecone's filter language), best first."""
