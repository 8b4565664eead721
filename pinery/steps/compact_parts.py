"""Compact the mostly dead parts of a checkpoint: what counts moves to a new part, then the old ones go."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.checkpoint.root import OF_RUN, only
from pinery.checkpoint.whole import whole
from pinery.corpus.corpus import Corpus
from pinery.corpus.run import HeldTarget
from pinery.corpus.tables import connect
from pinery.corpus.target import Target
from pinery.duckdb_files import scan
from pinery.errors import TerminalError
from pinery.parquet.files import TableWriter, part_writer
from pinery.planning.compaction import Chosen, choose_parts, rows_kept
from pinery.planning.partition import part_rows
from pinery.records import PART_SCHEMA
from pinery.reports import Removable

LISTINGS = 3
"""What is live in one of so many of the newest listings stays."""
BATCH = 1024


def find_dead_parts(corpus: Corpus, target: Target, scratch: Path) -> tuple[Removable, ...]:
    """Return the parts of a target's checkpoint that are mostly dead, or small and many. Raises DamagedError."""
    with _choosing(corpus, target, scratch) as (_, chosen):
        sizes = target.checkpoint.sizes() if chosen else {}
        folder = target.checkpoint.folder
        dead = {one.use.part: round(sizes.get(one.use.part, 0) * one.use.dead_share) for one in chosen}
        return tuple(
            Removable("part", f"{folder}/{one.use.part}.parquet", dead[one.use.part], one.why) for one in chosen
        )


def compact_parts(held: HeldTarget, moved_on: Callable[[], None]) -> list[str]:
    """Compact these parts of the held target's checkpoint, and return their names in the state.

    `moved_on` is called as the work goes on. If this ends anywhere in between, the same rows count as before.
    """
    target = held.target
    checkpoint = target.checkpoint
    with _choosing(held.run.corpus, target, held.scratch) as (con, chosen):
        parts = [one.use.part for one in chosen]
        rows = sum(one.use.kept for one in chosen)
        written = _Writer(held)
        for part in parts:
            for batch in _kept(con, checkpoint, part):
                written.append(batch)
                moved_on()
        written.close()
    if written.rows != rows:
        raise TerminalError(
            f"{written.rows} rows of {len(parts)} parts were copied where {rows} are live; the old parts stay"
        )
    for part in reversed(parts):  # the lowest has what counts, as long as it is there
        held.check()
        checkpoint.remove(part)
        moved_on()
    checkpoint.forget_copies()
    return [f"{checkpoint.folder}/{part}.parquet" for part in parts]


def define_wanted(con: duckdb.DuckDBPyConnection, corpus: Corpus) -> bool:
    """Define `wanted` (id, version): what the newest listings have; return False where there is no listing."""
    names = only(OF_RUN, corpus.store.names(corpus.paths.listings))[-LISTINGS:]
    con.execute("CREATE OR REPLACE TABLE wanted (id VARCHAR, version VARCHAR)")
    for name in names:
        path = whole(corpus.store, f"{corpus.paths.listings}/{name}", ["id", "version"])
        rows = scan(con, path).select("id, version")
        rows.except_(con.table("wanted")).insert_into("wanted")
    return bool(names)


@contextlib.contextmanager
def _choosing(
    corpus: Corpus, target: Target, scratch: Path
) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Chosen]]]:
    """Yield the parts to compact, and the tables that they were chosen by; none where nothing says what is live."""
    with connect(scratch) as con:
        files = [str(path) for path in target.checkpoint.key_files().values()]
        if not files or not define_wanted(con, corpus):
            yield con, []
            return
        name = "regexp_extract(filename, '(part-[0-9]+)[^/]*$', 1)"
        rows = scan(con, files, filename=True, row_number=True)
        rows.select(f"{name} AS part, id, version, error, file_row_number AS row").create_view("checkpoint")
        yield con, choose_parts(con, target.card.dimension, _full(target))


def _full(target: Target) -> int:
    return part_rows(target.config.run.part_rows, target.card.dimension)


def _kept(con: duckdb.DuckDBPyConnection, checkpoint: Checkpoint, part: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `part` (PART_SCHEMA) that stay."""
    kept = set(rows_kept(con, part))
    first = 0
    for batch in checkpoint.batches(part, PART_SCHEMA.names, BATCH) if kept else ():
        mask = [row in kept for row in range(first, first + batch.num_rows)]
        first += batch.num_rows
        if any(mask):
            yield batch.filter(pa.array(mask))


class _Writer:
    """Publishes rows as new parts, each as full as a run's."""

    def __init__(self, held: HeldTarget) -> None:
        self.rows = 0
        self._held, self._size = held, _full(held.target)
        self._next = held.target.checkpoint.next_number()
        self._path = held.scratch / "compacted.parquet"
        self._open: TableWriter | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        """Add rows, some of which may be the first of another part."""
        while batch.num_rows:
            if self._open is None:
                self._open = part_writer(self._path, self._held.target.card.dimension)
            room = self._size - self._open.rows
            self._open.append(batch.slice(0, room))
            self.rows += min(room, batch.num_rows)
            batch = batch.slice(room)
            if self._open.rows == self._size:
                self.close()

    def close(self) -> None:
        """Publish what was added since the last part was full."""
        if self._open is None:
            return
        self._open.__exit__(None, None, None)
        self._open = None
        with self._held.writing():
            self._held.target.checkpoint.publish(part_name(self._next), self._path)
        self._next += 1
