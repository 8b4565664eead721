"""The Pinecone index: one namespace of a serverless index, through Pinecone's SDK; upserts go over REST or gRPC."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pinery.errors import (
    BadFilterError,
    IndexMismatchError,
    PineryError,
    QueryError,
    RowsRefusedError,
    TerminalError,
    TransientError,
)
from pinery.indexes import pinecone_control as control
from pinery.indexes.encoded_size import ENVELOPE_BYTES, json_sizes, protobuf_sizes
from pinery.indexes.pinecone_import import PineconeImports
from pinery.indexes.pinecone_pages import IdPages, fetch_all
from pinery.indexes.pinecone_session import REQUEST_SECONDS, PineconeSession
from pinery.indexes.vectors import checked_vectors
from pinery.records import Identity, Match, Stored
from pinery.target_settings import PineconeSettings

Vector = tuple[str, list[float], dict[str, Any]]
"""The id, values and metadata of a row, as the SDK's gRPC client takes them."""
MAX_BODY_BYTES = 2_000_000


class PineconeIndex:
    """One namespace of the Pinecone index `name`; see Index. Threads may share it."""

    max_request_rows = 1000
    max_request_bytes = MAX_BODY_BYTES - ENVELOPE_BYTES

    def __init__(
        self,
        settings: PineconeSettings,
        name: str,
        namespace: str,
        dimension: int,
        *,
        max_concurrency: int = 16,
        api_key: str | None = None,
        request_timeout: float = REQUEST_SECONDS,
    ) -> None:
        """Connect to nothing yet.

        Args:
            settings: the config's `index`.
            name: the index' name; it need not exist yet.
            namespace: the namespace in that index.
            dimension: the number of values of a vector.
            max_concurrency: the most requests that may be in flight at once.
            api_key: Pinecone's key; by default it comes from the environment.
            request_timeout: seconds after which a request is over, whether it was answered or not.
        """
        self.name, self.max_concurrency = name, max_concurrency
        self._settings, self._namespace, self._dimension = settings, namespace, dimension
        self._session = PineconeSession(name, api_key, max_concurrency, request_timeout)
        self._lsn_lock = threading.Lock()
        self._written_lsn = 0
        self._unstamped: pa.RecordBatch | None = None
        """The last row that was written over gRPC, whose answers carry no LSN; None after a write over REST."""

    def row_bytes(self, rows: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """See Index."""
        return json_sizes(rows) if self._settings.transport == "rest" else protobuf_sizes(rows)

    def describe(self) -> Identity | None:
        """See Index. Also returns None for an index that is empty and has no tags, because `ensure` takes it over."""
        found = control.describe(self._session, self.name)
        if found is None:
            return None
        control.check_shape(found, self._dimension, self._settings.metric)
        identity = control.identity_of(found)
        stats = self._stats() if identity is None and found.status.ready else None
        if stats is not None and stats.total_vector_count > 0:
            raise IndexMismatchError(
                f"Pinecone index {self.name} holds vectors but no `{control.STATE_TAG}` tag, so another program filled"
                " it: set index.name to another name, or delete that index"
            )
        return identity

    def ensure(self, identity: Identity) -> Identity:
        """See Index."""
        if control.describe(self._session, self.name) is None:
            control.create(self._session, self._settings, self.name, self._dimension, identity)
            self._session.close()  # an earlier index of this name had another host
        control.wait_until_ready(self._session, self.name, self._settings.ready_timeout)
        found = self.describe()
        if found is not None:
            return found
        control.tag(self._session, self.name, identity)
        # Another run may have tagged it in the same moment, and what the index says counts.
        return self.describe() or identity

    def read_mark(self) -> str | None:
        """See Index."""
        return control.read_mark(self._session, self.name, self._namespace)

    def leave_mark(self, mark: str) -> bool:
        """See Index."""
        return control.leave_mark(self._session, self.name, self._namespace, mark)

    def shut_out_others(self) -> None:
        """Do nothing: Pinecone can't do that. A run waits out the longest life of a request instead."""

    def upsert(self, rows: pa.RecordBatch) -> None:
        """See Index."""
        if rows.num_rows == 0:
            return
        if self._settings.transport == "grpc":
            ids, matrix, texts = self._columns(rows)
            vectors: list[Vector] = list(zip(ids, matrix.tolist(), map(json.loads, texts), strict=True))
            seconds = self._session.request_timeout / 2
            answer = self._session.grpc(
                lambda index: index.upsert(vectors=vectors, namespace=self._namespace, timeout=seconds),
                RowsRefusedError,
            )
            acknowledged = answer.upserted_count
            self._unstamped = rows.slice(rows.num_rows - 1)
        else:
            acknowledged = self._upsert_rest(rows)
        if acknowledged != rows.num_rows:
            raise TransientError(f"Pinecone index {self.name} acknowledged {acknowledged} of {rows.num_rows} rows")

    def _upsert_rest(self, rows: pa.RecordBatch) -> int:
        ids, matrix, texts = self._columns(rows)
        # The SDK's own `upsert` prints every float32 as a double, which takes two thirds more bytes, and the service
        # accepts a limited number of bytes per second.
        vectors = [
            {"id": row_id, "values": values, "metadata": orjson.Fragment(text)}
            for row_id, values, text in zip(ids, matrix, texts, strict=True)
        ]
        body = orjson.dumps({"vectors": vectors, "namespace": self._namespace}, option=orjson.OPT_SERIALIZE_NUMPY)
        return int(self._post("/vectors/upsert", body).get("upsertedCount", 0))

    def _post(self, path: str, body: bytes, refused: type[PineryError] = RowsRefusedError) -> dict[str, Any]:
        from pinecone.models.response_info import ResponseInfo

        headers = {"Content-Type": "application/json"}
        response = self._session.data(lambda index: index._http.post(path, content=body, headers=headers), refused)
        if response is None:
            return {}
        self._note_lsn(ResponseInfo(raw_headers=dict(response.headers)).lsn_committed)
        try:
            return dict(orjson.loads(response.content))
        except (ValueError, TypeError):
            raise TransientError(f"Pinecone index {self.name}: the answer to {path} is not a JSON object") from None

    def delete(self, ids: Sequence[str]) -> None:
        """See Index."""
        if not ids:
            return
        # The SDK's `delete` drops the response's headers, and with them the LSN that `settle` waits for.
        body = orjson.dumps({"namespace": self._namespace, "ids": list(ids)})
        self._post("/vectors/delete", body, refused=TerminalError)

    def drop(self) -> None:
        """See Index."""
        self._session.data(lambda index: index.delete_namespace(name=self._namespace))
        self._unstamped = None

    def discard(self) -> bool:
        """See Index. One with deletion protection stays."""
        found = control.describe(self._session, self.name)
        if found is None:
            return True
        stats = self._stats()
        own = self._namespace or "__default__"  # whose rows may be counted for a while after they are deleted
        others = {} if stats is None else {name: one for name, one in stats.namespaces.items() if name != own}
        if stats is None or any(one.vector_count for one in others.values()) or control.is_protected(found):
            return False
        control.delete(self._session, self.name)
        self._session.close()
        return True

    def settle(self) -> str:
        """See Index."""
        if self._unstamped is not None:
            # LSNs grow with every write to a namespace, so the LSN of one more write covers all writes before it.
            self._upsert_rest(self._unstamped)
        target, probe = self._written_lsn, [1.0] + [0.0] * (self._dimension - 1)
        if not target:
            return ""
        # Only the answer to a query says how far the index is; the answer to a fetch lacks that header.
        seen = self._session.data(lambda index: index.query(vector=probe, top_k=1, namespace=self._namespace))
        info = None if seen is None else seen.response_info
        if info is not None and info.is_reconciled(target):
            return ""
        reached = "unknown" if info is None else info.lsn_reconciled
        return f"writes are visible up to LSN {reached}, not yet up to {target}"

    def fetch(self, ids: Sequence[str]) -> dict[str, Stored]:
        """See Index."""
        return fetch_all(self._session, self._namespace, ids, self._dimension)

    def list_ids(self) -> Iterator[list[str]]:
        """See Index."""
        return IdPages(self._session, self._namespace)

    def count(self) -> int:
        """See Index."""
        stats = self._stats()
        found = stats.namespaces.get(self._namespace or "__default__") if stats else None
        return 0 if found is None else int(found.vector_count)

    def holds_rows(self) -> bool:
        """See Index."""
        return self.count() > 0

    def query(self, vector: Sequence[float], top_k: int, filter: Mapping[str, Any] | None = None) -> list[Match]:
        """See Index. Raises QueryError where Pinecone refuses the query, BadFilterError where that has a filter."""
        values = [float(value) for value in vector]
        found = self._session.data(
            lambda index: index.query(
                vector=values, top_k=top_k, filter=filter or None, include_metadata=True, namespace=self._namespace
            ),
            BadFilterError if filter else QueryError,
        )
        # A euclidean score is a squared distance, while a match promises that a higher score is nearer.
        sign = -1.0 if self._settings.metric == "euclidean" else 1.0
        matches = [] if found is None else found.matches
        return [Match(match.id, sign * match.score, match.metadata or {}) for match in matches]

    @property
    def integration_id(self) -> str | None:
        """The storage integration of Pinecone that may read the state's bucket."""
        return self._settings.integration_id

    @property
    def imports(self) -> PineconeImports:
        """The bulk imports of the index."""
        return PineconeImports(self._session, self._namespace, self._settings.integration_id)

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        self._session.close()

    def _stats(self) -> Any:
        return self._session.data(lambda index: index.describe_index_stats())

    def _columns(self, rows: pa.RecordBatch) -> tuple[list[str], npt.NDArray[np.float32], list[str]]:
        """Return the ids, the values (rows, dimension) and the metadata of `rows`, checked.

        Raises RowsRefusedError where Pinecone would refuse the vectors, or the metadata is not JSON.
        """
        matrix = checked_vectors(rows.column("values"), self._dimension)
        metadata: list[Any] = rows.column("metadata").to_pylist()
        try:
            for text in metadata:
                orjson.loads(text)
        except ValueError as error:
            raise RowsRefusedError(f"metadata is not JSON: {error}") from None
        ids: list[Any] = rows.column("id").to_pylist()
        return ids, matrix, metadata

    def _note_lsn(self, lsn: int | None) -> None:
        with self._lsn_lock:
            self._unstamped = None
            self._written_lsn = max(self._written_lsn, lsn or 0)
