"""Delete from the index what is live no more, and not merely awaited; only after the upserts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pinery.duckdb_files import write
from pinery.errors import RefusedError
from pinery.planning.guards import judge_deletes
from pinery.planning.plan import count_plan, define_plan
from pinery.records import LEDGER_SCHEMA
from pinery.steps.marks import claim_index
from pinery.steps.run import Run
from pinery.steps.tables import connect, define_tables
from pinery.steps.upsert_part import outlast

MAX_IDS = 1000


def delete_rows(run: Run, listing: str, allow_deletes: bool) -> int:
    """Delete every id of the ledger that has left the listing or turned out bad or refused; return how many.

    Ids go in requests of at most 1000, each entered in the ledger once acknowledged. Raises RefusedError where that is
    more than the delete_guard: the plan could not know which images would turn out bad.
    """
    deleted = 0
    with run.stage("delete"):
        for batch in pq.ParquetFile(_doomed(run, listing, allow_deletes)).iter_batches(
            batch_size=MAX_IDS, columns=["id"]
        ):
            claim_index(run)
            run.check()
            run.open_ledger.intend(batch["id"], run.scratch)
            ids: Any = batch["id"].to_pylist()
            outlast(run, partial(run.corpus.index.delete, ids))
            run.check()
            nothing = pa.nulls(len(ids), pa.string())
            rows = pa.table([batch["id"], nothing, nothing, pa.array([True] * len(ids))], schema=LEDGER_SCHEMA)
            run.open_ledger.enter(rows, run.scratch)
            deleted += len(ids)
            run.advance("delete", len(ids))
    return deleted


def _doomed(run: Run, listing: str, allow_deletes: bool) -> Path:
    path = run.scratch / "delete.parquet"
    with connect(run.scratch) as con:
        define_tables(con, run.corpus.store.local(listing), run.corpus.checkpoint, run.open_ledger)
        define_plan(con, limit=None, retry_quarantined=False)
        counts = count_plan(con)
        reasons = (
            [] if allow_deletes else judge_deletes(counts.to_delete, counts.perhaps_held, run.settings.delete_guard)
        )
        if reasons:
            raise RefusedError(f"corpus {run.corpus.config.corpus}: {reasons[0]}. Nothing was deleted")
        write(con, "SELECT id FROM to_delete ORDER BY id", path)
    return path
