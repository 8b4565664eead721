"""Delete from the index what is live no more, and not merely awaited; only after the upserts."""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pinery.checkpoint.ledger import rows_of_ids
from pinery.corpus.outage import retry_through_outage
from pinery.corpus.run import HeldTarget
from pinery.duckdb_files import write
from pinery.errors import RefusedError
from pinery.planning.guards import judge_deletes
from pinery.planning.plan import count_plan
from pinery.steps.make_plan import Plan, PlanOptions
from pinery.steps.marks import claim_index


def delete_rows(held: HeldTarget, listing: Path, plan: Plan, rejected: int, options: PlanOptions) -> int:
    """Delete every id of the ledger that has left the listing or turned out bad or refused; return how many.

    Does nothing with a limit, nor where `plan` and the number of rows that the index `rejected` since then say that it
    holds live rows only.

    Each request is entered in the ledger once the index has acknowledged it. Raises RefusedError where the ids are more
    than the delete_guard allows: the plan could not know which images would turn out bad.
    """
    deleted = 0
    if options.limit is not None or not _may_hold_others(plan, rejected):
        return deleted
    with held.run.stage("delete"):
        for batch in pq.ParquetFile(_leaving(held, listing, options.allow_deletes)).iter_batches(
            batch_size=held.index.max_request_rows, columns=["id"]
        ):
            claim_index(held)
            with held.writing():
                held.ledger.intend(batch["id"], held.scratch)
            ids: Any = batch["id"].to_pylist()
            retry_through_outage(held, partial(held.index.delete, ids))
            with held.lease.writing():
                held.ledger.enter(rows_of_ids(batch["id"], deleted=True), held.scratch)
            deleted += len(ids)
            held.run.advance("delete", len(ids))
    return deleted


def _may_hold_others(plan: Plan, rejected: int) -> bool:
    """Return whether anything may be in the index that is no live row."""
    counts = plan.counts
    return bool(rejected) or (counts.held + counts.doubtful > 0 and bool(counts.to_delete or plan.embed))


def _leaving(held: HeldTarget, listing: Path, allow_deletes: bool) -> Path:
    """Return a local Parquet file of the ids to delete."""
    path, guard = held.scratch / "delete.parquet", held.settings.delete_guard
    with held.planned(listing) as con:
        counts = count_plan(con)
        reasons = [] if allow_deletes else judge_deletes(counts.to_delete, counts.perhaps_held, guard)
        if reasons:
            raise RefusedError(f"corpus {held.target.corpus}: {reasons[0]}. Nothing was deleted")
        write(con, "SELECT id FROM to_delete ORDER BY id", path)
    return path
