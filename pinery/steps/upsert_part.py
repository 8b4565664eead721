"""Bring rows of one published part to the index, and enter what it acknowledged in the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinery.checkpoint.parquet import read_rows
from pinery.indexes.engine import Patience, Result, Settled, upsert_rows, with_patience
from pinery.indexes.protocol import ROWS_SCHEMA
from pinery.records import LEDGER_SCHEMA, REJECTED_SCHEMA, UpsertReport
from pinery.steps.make_plan import Work
from pinery.steps.run import Run


def upsert_part(run: Run, work: Work) -> UpsertReport:
    """Upsert the vectors that `work.part` holds for the rows of `work`, with the metadata of the listing.

    Rows without a vector there (quarantined, moved) are passed over. Raises what the upsert engine raises; rows
    acknowledged until then are in the ledger.
    """
    began = time.monotonic()
    wanted = _with_vectors(run, work.part, read_rows(work.path, work.start, work.stop))
    acknowledged: list[pa.Table] = []
    rejected: list[pa.Table] = []
    batches = _batches(run, work, wanted)
    run.check()
    run.open_ledger.intend(wanted["id"], run.scratch)
    try:
        for settled in upsert_rows(run.corpus.index, batches, patience(run)):
            rows = _versions(settled, wanted)
            good = pa.array([at not in settled.refused for at in range(rows.num_rows)])
            acknowledged.append(rows.filter(good))
            if settled.refused:
                reasons = pa.array([settled.refused[at] for at in sorted(settled.refused)], pa.string())
                rejected.append(rows.filter(pc.invert(good)).append_column("reason", reasons))
            run.advance("upsert", rows.num_rows)
    finally:
        _enter(run, acknowledged, rejected)
    count = sum(table.num_rows for table in acknowledged)
    return UpsertReport(count, sum(table.num_rows for table in rejected), time.monotonic() - began)


def outlast(run: Run, action: Callable[[], Result]) -> Result:
    """Ask or tell the run's index something, through an outage if need be; return what it says."""
    return with_patience(action, f"index {run.corpus.index_name}", patience(run))


def patience(run: Run) -> Patience:
    """How this run meets an outage of its index."""
    return Patience(run.corpus.config.upsert.outage_patience, run.check, run.pause, run.note)


def _with_vectors(run: Run, part: str, wanted: pa.Table) -> pa.Table:
    keys = _key(wanted)
    has = np.zeros(wanted.num_rows, dtype=bool)
    for batch in run.corpus.checkpoint.batches(part, ["id", "version", "error"], 16384):
        found = pc.index_in(_key(batch), keys)
        usable = pc.and_(pc.is_valid(found), pc.is_null(batch["error"]))
        has[found.filter(usable).to_numpy()] = True
    return wanted.filter(pa.array(has))


def _batches(run: Run, work: Work, wanted: pa.Table) -> Iterator[pa.RecordBatch]:
    keys = _key(wanted)
    for batch in run.corpus.checkpoint.batches(work.part, ["id", "version", "values"]):
        found = pc.index_in(_key(batch), keys)
        usable = pc.is_valid(found)
        rows = batch.filter(usable)
        if rows.num_rows:
            metadata = wanted["metadata"].take(found.filter(usable)).combine_chunks()
            values = rows["values"].cast(ROWS_SCHEMA.field("values").type)
            yield pa.RecordBatch.from_arrays([rows["id"], values, metadata], schema=ROWS_SCHEMA)


def _versions(settled: Settled, wanted: pa.Table) -> pa.Table:
    at = pc.index_in(settled.rows["id"], wanted["id"].combine_chunks())
    return wanted.select(["id", "version", "metadata_hash"]).take(at)


def _key(rows: pa.Table | pa.RecordBatch) -> Any:
    key: Any = pc.binary_join_element_wise(rows["id"], rows["version"], pa.scalar("\x00"))  # type: ignore[call-overload]  # stubs want arrays only
    return key.combine_chunks() if isinstance(key, pa.ChunkedArray) else key


def _enter(run: Run, acknowledged: list[pa.Table], rejected: list[pa.Table]) -> None:
    if not (acknowledged or rejected):
        return
    run.lease.check()
    if rejected:
        run.open_ledger.reject(pa.concat_tables(rejected).select(REJECTED_SCHEMA.names), run.scratch)
    rows = pa.concat_tables(acknowledged) if acknowledged else None
    if rows is not None and rows.num_rows:
        alive = pa.array([False] * rows.num_rows)
        run.open_ledger.enter(rows.append_column("deleted", alive).select(LEDGER_SCHEMA.names), run.scratch)
