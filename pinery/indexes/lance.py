"""The embedded index: each index is a LanceDB folder, and each of its namespaces a table in it."""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinery.allocator import give_back_freed_memory
from pinery.durable import sync_path, write_durably
from pinery.errors import IndexMismatchError, TerminalError
from pinery.indexes.encoded_size import protobuf_sizes
from pinery.indexes.lance_ann import index_vectors
from pinery.indexes.lance_disk import Disk
from pinery.indexes.lance_filter import to_sql
from pinery.indexes.lance_identity import read_identity, remove_identity, write_identity
from pinery.indexes.lance_library import lancedb
from pinery.indexes.lance_manifest import rows_by_manifest
from pinery.indexes.vectors import checked_vectors
from pinery.records import Identity, Match, Stored
from pinery.target_settings import LanceSettings

EXACT_BELOW_ROWS = 50_000
"""With this many rows or more, vectors get an ANN index; with fewer, each search scans them all."""
DISTANCES = {"cosine": "cosine", "dotproduct": "dot", "euclidean": "l2"}
KEPT_VERSIONS = timedelta(minutes=10)
"""A search that began before a write may go on reading the version that it began with for so long."""
FOR_EVER = timedelta(days=36500)
MANIFESTS = "_versions/*.manifest"
"""The files in a table's folder that make it a table."""
DROPPED = ".dropped"
"""The ending of the name that a table's folder has while it is removed."""

INDEX_CACHE_BYTES, METADATA_CACHE_BYTES = 64 << 20, 32 << 20
READ_AHEAD_BYTES, SHUFFLE_BYTES = 32 << 20, 8 << 20
"""Lance's own limits are gigabytes; with these, in bytes, the memory of a run doesn't grow with the index."""
os.environ.setdefault("LANCE_DEFAULT_IO_BUFFER_SIZE", str(READ_AHEAD_BYTES))
os.environ.setdefault("LANCE_SHUFFLE_BATCH_BYTES", str(SHUFFLE_BYTES))

PROBES = 128
"""The least number of partitions that a search looks at."""
CANDIDATES = 400
"""The number of vectors that a search compares in full, beyond four for each match."""


class LanceIndex:
    """One namespace of an embedded index in the local folder `folder`; see Index."""

    # Each request makes a version of the table, whose files have to be synced to the disk.
    max_request_rows = 4096
    max_request_bytes = 32 << 20
    max_concurrency = 1

    def __init__(self, settings: LanceSettings, folder: Path, name: str, namespace: str, dimension: int) -> None:
        """Open nothing yet: `folder` and the index `name` need not exist. Vectors have `dimension` values."""
        self.name = name
        self._folder, self._dimension, self._metric = folder, dimension, settings.metric
        self._table_name = _table_name(namespace)
        self._opened: Any = None
        self._disk = Disk(folder / f"{self._table_name}.lance")

    def row_bytes(self, rows: pa.RecordBatch) -> NDArray[np.int64]:
        """See Index."""
        return protobuf_sizes(rows)

    def describe(self) -> Identity | None:
        """See Index."""
        found = read_identity(self._folder)
        if found is None:
            return None
        identity, dimension, metric = found
        if (dimension, metric) != (self._dimension, self._metric):
            raise IndexMismatchError(
                f"index {self.name} has dimension {dimension} and metric {metric};"
                f" the config needs {self._dimension} and {self._metric}: set index.name to another name"
            )
        return identity

    def ensure(self, identity: Identity) -> Identity:
        """See Index."""
        found = self.describe()
        if found is not None:
            return found
        write_identity(self._folder, identity, self._dimension, self._metric)
        return identity

    def read_mark(self) -> str | None:
        """See Index."""
        path = self._mark_file
        return path.read_text() or None if path.exists() else None

    def leave_mark(self, mark: str) -> bool:
        """See Index."""
        write_durably(self._mark_file, mark.encode())
        return True

    def shut_out_others(self) -> None:
        """See Index."""
        # Two merges that insert the same ids could both be committed, and each id would be there twice. No write that
        # began before a restore can be committed after it, and restoring the newest version changes no row.
        table = self._table()
        if table is not None:
            with self._writing():
                table.restore(table.version)
                self._disk.sync()

    @property
    def _mark_file(self) -> Path:
        return self._folder / f"{self._table_name}.mark"

    def upsert(self, rows: pa.RecordBatch) -> None:
        """See Index."""
        values = pa.array(checked_vectors(rows["values"], self._dimension).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(values, self._dimension)
        metadata = pa.ExtensionArray.from_storage(pa.json_(), rows["metadata"].cast(pa.string()))
        table = pa.table([rows["id"], vectors, metadata], schema=self._schema)
        merge = self._table(create=True).merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        with self._writing():
            merge.execute(table)
            self._disk.sync()

    def delete(self, ids: Sequence[str]) -> None:
        """See Index."""
        table = self._table()
        if table is not None and ids:
            with self._writing():
                table.delete(_among(ids))
                self._disk.sync()

    def drop(self) -> None:
        """See Index."""
        # A table that a killed process half removed could be opened by nobody, so its folder gets out of the way first.
        table, dropped = self._folder / f"{self._table_name}.lance", self._folder / f".{self._table_name}{DROPPED}"
        with self._writing():
            shutil.rmtree(dropped, ignore_errors=True)
            if table.is_dir():
                table.rename(dropped)
                sync_path(self._folder)
                shutil.rmtree(dropped)
        self._opened = None

    def discard(self) -> bool:
        """See Index. Files that aren't the index' stay, and the folder with them."""
        if any(self._folder.glob(f"*.lance/{MANIFESTS}")):
            return False
        with self._writing():
            for path in [*self._folder.glob("*.lance"), *self._folder.glob(f".*{DROPPED}")]:
                shutil.rmtree(path)
            for path in self._folder.glob("*.mark"):
                path.unlink()
            remove_identity(self._folder)  # last, for with tables and no identity it would be another program's
        return True

    def settle(self) -> str:
        """Compact what the run wrote, index the ids, and index the vectors once there are too many to scan.

        A write to Lance is visible when it returns, so reads never lag behind.
        """
        table = self._table()
        if table is None:
            return ""
        with self._writing():
            give_back_freed_memory()
            table.optimize(cleanup_older_than=FOR_EVER)
            self._index(table)
            # The new files must be on the disk before the older ones that they replace are removed.
            self._disk.sync()
            table.optimize(cleanup_older_than=KEPT_VERSIONS)
        return ""

    def _index(self, table: Any) -> None:
        from lancedb.index import BTree

        columns = [column for index in table.list_indices() for column in index.columns]
        if "id" not in columns:
            table.create_index("id", config=BTree())
        rows = table.count_rows()
        if "vector" not in columns and rows >= EXACT_BELOW_ROWS:
            give_back_freed_memory()
            index_vectors(table, math.isqrt(rows), self._dimension, DISTANCES[self._metric])

    def fetch(self, ids: Sequence[str]) -> dict[str, Stored]:
        """See Index."""
        table = self._table()
        if table is None or not ids:
            return {}
        with self._reading():
            found = table.search().where(_among(ids)).select(["id", "vector", "metadata"]).limit(len(ids)).to_arrow()
        return {row["id"]: Stored(tuple(row["vector"]), json.loads(row["metadata"])) for row in found.to_pylist()}

    def list_ids(self) -> Iterator[list[str]]:
        """See Index."""
        table = self._table()
        if table is not None:
            for batch in table.search().select(["id"]).limit(table.count_rows() or 1).to_batches():
                yield batch.column("id").to_pylist()

    def count(self) -> int:
        """See Index."""
        table = self._table()
        return 0 if table is None else int(table.count_rows())

    def holds_rows(self) -> bool:
        """See Index."""
        rows = rows_by_manifest(self._folder / f"{self._table_name}.lance")
        return bool(self.count() if rows is None else rows)

    def query(self, vector: Sequence[float], top_k: int, filter: Mapping[str, Any] | None = None) -> list[Match]:
        """See Index."""
        table = self._table()
        if table is None:
            return []
        with self._reading():
            search = table.search(np.asarray(vector, dtype=np.float32)).distance_type(DISTANCES[self._metric])
            search = search.limit(top_k)
            if any("vector" in index.columns for index in table.list_indices()):
                # Where a filter leaves too few vectors in these partitions, Lance searches the others too.
                refined = 4 + math.ceil(CANDIDATES / top_k)
                search = search.minimum_nprobes(PROBES).maximum_nprobes(0).refine_factor(refined)
            if filter:
                search = search.where(to_sql(filter), prefilter=True)
            rows = search.select(["id", "metadata", "_distance"]).to_arrow().to_pylist()
        return [Match(row["id"], self._score(row["_distance"]), json.loads(row["metadata"])) for row in rows]

    def _score(self, distance: float) -> float:
        return -distance if self._metric == "euclidean" else 1.0 - distance

    @property
    def _schema(self) -> pa.Schema:
        vector = pa.list_(pa.float32(), self._dimension)
        return pa.schema([("id", pa.string()), ("vector", vector), ("metadata", pa.json_())])

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            raise TerminalError(f"can't write to the index in {self._folder}: {error}") from error

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            raise TerminalError(f"can't read the index in {self._folder}: {error}") from error

    def _table(self, create: bool = False) -> Any:
        if self._opened is None:
            # A process that died while it created the table leaves folders without a manifest, which are no table yet.
            exists = any((self._folder / f"{self._table_name}.lance").glob(MANIFESTS))
            if not exists and not create:
                return None
            try:
                # With an interval of 0, reads see what other processes write: a search page outlives many runs.
                library = lancedb()
                session = library.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES)
                database = library.connect(self._folder, read_consistency_interval=timedelta(0), session=session)
                if exists:
                    self._opened = database.open_table(self._table_name)
                else:
                    self._opened = database.create_table(self._table_name, schema=self._schema)
            except (OSError, RuntimeError, ValueError) as error:
                raise TerminalError(f"can't open the index in {self._folder}: {error}") from error
        return self._opened


def _table_name(namespace: str) -> str:
    # Lance takes letters, digits, `_`, `-` and `.` in a table's name, and some file systems ignore case.
    if re.fullmatch("[a-z0-9-]{1,100}", namespace):
        return f"ns-{namespace}"
    return "nx-" + hashlib.sha256(namespace.encode()).hexdigest()[:32]


def _among(ids: Sequence[str]) -> str:
    return "id IN (" + ", ".join("'" + one.replace("'", "''") + "'" for one in ids) + ")"
