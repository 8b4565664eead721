"""The embeddings of a corpus: its live rows, as Arrow batches or a table, as NumPy, or as a DataFrame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pinery.corpus.corpus import Corpus
from pinery.corpus.stored import current_listing, temporary_folder
from pinery.corpus.tables import planned
from pinery.duckdb_files import write
from pinery.parquet.files import read_rows
from pinery.records import PART_SCHEMA

if TYPE_CHECKING:
    import pandas as pd

ROW_GROUP_BYTES = 16 << 20
"""The size of a row group, which is in memory as a whole when it is written and when it is read."""
_TEXTS = [pa.field(name, pa.string()) for name in ("id", "version", "metadata")]
SCHEMA = pa.schema([*_TEXTS, PART_SCHEMA.field("values")])
COLUMNS = SCHEMA.names
"""The columns of the embeddings: texts, of which `metadata` is JSON, and in `values` a vector of float32."""


class Embeddings:
    """The live rows of a corpus: every listed item for which the checkpoint has a vector.

    Every way to read them raises ConfigError before the first run, and DamagedError. Only `batches` needs no memory for
    all of them.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield batches with COLUMNS, part by part; each row of `values` has the shape (dimension,), float32.

        A batch has 1,024 rows at most, and no more than a row group is in memory beside it.
        """
        yield from self._read([])

    def to_arrow(self) -> pa.Table:
        """Return all live rows as a table with COLUMNS."""
        return pa.Table.from_batches(self.batches(), SCHEMA)

    def to_numpy(self) -> tuple[list[str], NDArray[np.float32]]:
        """Return the ids, and their vectors in the same order: shape (rows, dimension), float32."""
        counts = list[int]()
        ids, found, start = list[str](), np.empty((0, 0), np.float32), 0
        for batch in self._read(counts):
            rows = _matrix(batch["values"])
            if not start:
                found = np.empty((sum(counts), rows.shape[1]), np.float32)
            found[start : start + len(rows)] = rows
            start += len(rows)
            ids += map(str, batch["id"].to_pylist())
        return ids, found[:start]

    def to_pandas(self) -> pd.DataFrame:
        """Return all live rows as a DataFrame with COLUMNS, indexed by `id`; `values` are (dimension,), float32."""
        import pandas as pd

        frames = [batch.to_pandas() for batch in self.batches()]
        return pd.concat(frames).set_index("id") if frames else pd.DataFrame(columns=COLUMNS).set_index("id")

    def _read(self, counts: list[int]) -> Iterator[pa.RecordBatch]:
        """Yield the batches; before the first, add to `counts` the most rows that each part will give."""
        with temporary_folder("embeddings") as folder:
            live = folder / "live.parquet"
            parts, start = self._write_live_rows(folder, live), 0
            counts += [rows for _, rows in parts]
            for part, rows in parts:
                wanted = read_rows(live, start, start + rows)
                start += rows
                yield from self._joined(part, wanted)

    def _write_live_rows(self, folder: Path, live: Path) -> list[tuple[str, int]]:
        """Write id, version and metadata of the live rows to `live`; return the parts in order, with counts of rows."""
        target = self._corpus.target
        with planned(folder, current_listing(self._corpus), target.checkpoint, None) as con:
            rows = "FROM desired WHERE part IS NOT NULL AND error IS NULL"
            query = f"SELECT part, id, version, metadata {rows} ORDER BY part, id"
            write(con, query, live, row_group_bytes=ROW_GROUP_BYTES)
            return con.sql(f"SELECT part, count(*) {rows} GROUP BY part ORDER BY part").fetchall()

    def _joined(self, part: str, wanted: pa.Table) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a part that are among the `wanted` (part, id, version, metadata), with COLUMNS."""
        for batch in self._corpus.target.checkpoint.batches(part, ["id", "version", "values"]):
            found = pc.index_in(batch["id"], wanted["id"].combine_chunks())
            rows = batch.filter(pc.is_valid(found))
            metadata = wanted.take(found.filter(pc.is_valid(found)))
            same = pc.and_(pc.equal(rows["version"], metadata["version"].combine_chunks()), pc.is_valid(rows["values"]))
            if pc.any(same).as_py():
                texts = metadata["metadata"].combine_chunks()
                columns = [rows["id"], rows["version"], texts, rows["values"]]
                joined = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
                yield joined.filter(same)


def _matrix(values: Any) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = values.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(values), -1)
