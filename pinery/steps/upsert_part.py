"""Bring rows of one published part to the index, and enter what it acknowledged in the ledger."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pinery.checkpoint.ledger import OpenEntry
from pinery.checkpoint.parquet import read_rows
from pinery.errors import TerminalError
from pinery.indexes.engine import Settled, upsert_rows
from pinery.records import LEDGER_SCHEMA, REJECTED_SCHEMA, UpsertReport
from pinery.steps.live_rows import gathered, live_rows, with_vectors
from pinery.steps.make_plan import Work
from pinery.steps.marks import claim_index
from pinery.steps.outage import outlast, patience
from pinery.steps.run import Run

__all__ = ["judge_rejected", "outlast", "patience", "upsert_part"]

TELLING = 10


def upsert_part(run: Run, work: Work) -> UpsertReport:
    """Upsert the vectors that `work.part` holds for the rows of `work`, with the metadata of the listing.

    Rows without a vector there (quarantined, moved) are passed over. The ledger is never further behind the index than
    the requests that may be in flight at once. Raises what the upsert engine raises; rows acknowledged until then are
    in the ledger.
    """
    began = time.monotonic()
    index, checkpoint = run.corpus.index, run.corpus.checkpoint
    wanted = with_vectors(checkpoint, work.part, read_rows(work.path, work.start, work.stop))
    claim_index(run)
    with run.writing():
        entry = run.open_ledger.open_entry(wanted["id"], run.scratch)
    settled: list[Settled] = []
    upserted = rejected = 0
    try:
        rows = gathered(live_rows(checkpoint, work.part, wanted), index.max_request_rows, index.max_request_bytes)
        for one in upsert_rows(index, rows, patience(run)):
            settled.append(one)
            upserted += one.rows.num_rows - len(one.refused)
            rejected += len(one.refused)
            run.advance("upsert", one.rows.num_rows)
            if len(settled) >= index.max_concurrency:
                _enter(run, entry, wanted, settled)
    finally:
        _enter(run, entry, wanted, settled)
    with run.writing():
        entry.close()
    return UpsertReport(upserted, rejected, time.monotonic() - began)


def judge_rejected(run: Run, live_before: int) -> None:
    """Record the rows that the index refused, unless it refused everything that this run sent.

    Then raises TerminalError where that were ten rows or more, or where nothing else of the corpus is in the index
    (`live_before` rows): the rows are not what is wrong, and the next run sends them again.
    """
    held_back = sum(rows.num_rows for rows in run.held_back)
    if held_back and (held_back >= TELLING or not live_before):
        words = run.held_back[0]["reason"][0].as_py()
        raise TerminalError(
            f"index {run.corpus.index_name} refused all {held_back} rows of this run, the first with: {words}. Nothing"
            " is recorded of them: once the cause is mended, the same command sends them again"
        )
    _record_rejected(run)


def _record_rejected(run: Run) -> None:
    if run.held_back:
        run.check()
        run.open_ledger.reject(pa.concat_tables(run.held_back), run.scratch)
        run.held_back.clear()


def _enter(run: Run, entry: OpenEntry, wanted: pa.Table, settled: list[Settled]) -> None:
    """Enter what was settled, in the ledger or among the rejected, and forget it."""
    if settled:
        with run.lease.writing():
            _enter_settled(run, entry, wanted, settled)


def _enter_settled(run: Run, entry: OpenEntry, wanted: pa.Table, settled: list[Settled]) -> None:
    refused: dict[int, str] = {}
    before = 0
    for one in settled:
        refused |= {before + at: reason for at, reason in one.refused.items()}
        before += one.rows.num_rows
    ids: Any = pa.concat_arrays([one.rows["id"] for one in settled])
    rows = wanted.select(["id", "version", "metadata_hash"]).take(pc.index_in(ids, wanted["id"].combine_chunks()))
    if refused:
        reasons = pa.array(list(refused.values()), pa.string())
        bad = rows.take(list(refused)).append_column("reason", reasons)
        run.held_back.append(bad.select(REJECTED_SCHEMA.names))
    run.acknowledged += before - len(refused)
    if run.acknowledged:
        _record_rejected(run)
    good = pa.array([at not in refused for at in range(before)])
    deleted = pa.array([False] * before)
    entry.acknowledge(rows.append_column("deleted", deleted).select(LEDGER_SCHEMA.names).filter(good))
    entry.enter()
    settled.clear()
