"""The vectors that an index is to hold, read from the checkpoint: all of them as a stream, or some by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pinery.checkpoint.parts import Checkpoint
from pinery.corpus.stored import planned_as_recorded, undisturbed
from pinery.corpus.target import Target
from pinery.duckdb_files import database, scan, write
from pinery.parquet.files import read_rows
from pinery.steps.live_rows import row_keys

Result = TypeVar("Result")

BATCH_ROWS = 4096
KEY_BATCH_ROWS = 16384


class LiveVectors:
    """The vectors of live rows that the index did not reject, as one plan found them; made by `live_vectors`."""

    def __init__(self, checkpoint: Checkpoint, path: Path, parts: Sequence[tuple[str, int]]) -> None:
        """Take the rows (part, id, version) in the file `path`, ordered by part, and how many each part has."""
        self.path = path
        self.rows = sum(rows for _, rows in parts)
        self._checkpoint, self._parts = checkpoint, parts

    def batches(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Yield ids and vectors, shape (rows, dimension), of each live row once. Raises DamagedError."""
        start = 0
        for part, rows in self._parts:
            keys = row_keys(read_rows(self.path, start, start + rows))
            start += rows
            for batch in self._checkpoint.batches(part, ["id", "version", "values"], BATCH_ROWS):
                usable = pc.and_(pc.is_in(row_keys(batch), keys), pc.is_valid(batch["values"]))
                live = batch.filter(usable)
                if live.num_rows:
                    yield _texts(live["id"]), _matrix(live["values"])

    def of(self, ids: Sequence[str], passed: Callable[[int], None]) -> dict[str, NDArray[np.float32]]:
        """Return the vectors (dimension,) of those of these ids that are live.

        `passed` is called with 0 before each part that has some of them, and may raise. Raises DamagedError.
        """
        wanted = pa.table({"id": pa.array(ids, pa.string())})
        with database() as con:
            con.register("wanted", wanted)
            scan(con, self.path).create_view("live")
            found = con.sql("SELECT part, id, version FROM live SEMI JOIN wanted USING (id)").to_arrow_table()
        vectors: dict[str, NDArray[np.float32]] = {}
        for part in sorted(set(_texts(found["part"]))):
            passed(0)
            vectors |= self._of_part(part, row_keys(found.filter(pc.equal(found["part"], pa.scalar(part)))))
        return vectors

    def _of_part(self, part: str, keys: Any) -> dict[str, NDArray[np.float32]]:
        """Return the vectors of the rows of `part` with these keys, reading only the row groups that they lie in."""
        places: list[tuple[int, str]] = []
        first = 0
        for batch in self._checkpoint.batches(part, ["id", "version"], KEY_BATCH_ROWS):
            hits = np.flatnonzero(pc.is_in(row_keys(batch), keys).to_numpy(zero_copy_only=False))
            places += zip((first + hits).tolist(), _texts(batch["id"].take(pa.array(hits, pa.int64()))), strict=True)
            first += batch.num_rows
        vectors: dict[str, NDArray[np.float32]] = {}
        start, values = 0, pa.chunked_array([], pa.null())
        for row, row_id in places:
            if not start <= row < start + len(values):
                start, group = self._checkpoint.row_group(part, row)
                values = group["values"]
            if values[row - start].is_valid:
                vectors[row_id] = _matrix(values.slice(row - start, 1).combine_chunks())[0]
        return vectors


class UnheldVectors:
    """The vectors of a target whose lease this run doesn't hold, so that another run may replace files meanwhile."""

    def __init__(self, target: Target, listing: Path, path: Path) -> None:
        """Read nothing yet; the file `path` will say which rows are live by `listing`."""
        self.metric = target.config.index.metric
        self._target, self._listing, self._path = target, listing, path
        self._vectors: LiveVectors | None = None

    def reading(self, read: Callable[[LiveVectors], Result]) -> Result:
        """Return what `read` returns of the vectors; where files were replaced meanwhile, look again and call it again.

        Raises TerminalError where reading fails each time.
        """

        def attempt() -> Result:
            vectors, self._vectors = self._vectors or self._look(), None
            result = read(vectors)
            self._vectors = vectors
            return result

        return undisturbed(attempt)

    def _look(self) -> LiveVectors:
        with planned_as_recorded(self._target, self._listing, self._target.recorded_ledger()) as con:
            return live_vectors(con, self._target.checkpoint, self._path)


def live_vectors(con: duckdb.DuckDBPyConnection, checkpoint: Checkpoint, path: Path) -> LiveVectors:
    """Write down in the file `path` which rows an index is to hold by the plan in `con`, and return their vectors."""
    rows = "FROM items WHERE part IS NOT NULL AND NOT bad AND NOT refused"
    write(con, f"SELECT part, id, version {rows} ORDER BY part", path, row_group_rows=KEY_BATCH_ROWS)
    return LiveVectors(
        checkpoint, path, con.sql(f"SELECT part, count(*) {rows} GROUP BY part ORDER BY part").fetchall()
    )


def _matrix(values: Any) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = values.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(values), -1)


def _texts(column: Any) -> list[str]:
    texts: list[str] = column.to_pylist()
    return texts
