"""The check at a run's end: counts and a fetched sample are compared with the live rows, once writes are indexed."""

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pinery.checkpoint.parts import Checkpoint
from pinery.corpus.outage import retry_through_outage, settle
from pinery.corpus.run import HeldTarget
from pinery.errors import NothingLiveError, TerminalError
from pinery.planning.plan import PlanCounts, count_plan, not_indexed
from pinery.steps.compare import difference_of
from pinery.steps.marks import check_mark

SAMPLED_PARTS = 4
SAMPLED_ROWS = 25
PAUSES = (1.0, 3.0)
"""The seconds before a difference is looked at again."""
WORDS = {"missing": "is missing", "wrong": "has another vector", "wrong_metadata": "has other metadata"}


def spot_check(held: HeldTarget, listing: Path, limit: int | None) -> PlanCounts:
    """Compare the index with the live rows by counts and a small sample, once the run's writes can be read.

    Returns what is left to do, and what the index holds.

    Raises TerminalError where they differ: other counts, rows left to do, or a sampled vector or metadata that is not
    what was sent; where another copy of the state wrote to the index meanwhile; and NothingLiveError where the index
    holds nothing of what is listed. With a `limit` only what the limit allows is expected.
    """
    run = held.run
    check_mark(held)
    with run.stage("verify"):
        settle(held)
        with held.planned(listing, limit=limit) as con:
            counts = count_plan(con)
            differences = looked_at_again(held, lambda: _differences(held, con, counts))
            if counts.to_upsert or counts.to_delete:
                differences.append(f"{counts.to_upsert} rows are still to upsert and {counts.to_delete} to delete")
            if differences:
                raise TerminalError(
                    f"index {held.target.name} does not hold what it should: {'; '.join(differences[:5])}."
                    " Something else may have written to it. The checkpoint is safe: `pinery verify CONFIG --full"
                    " --repair` finds and repairs the difference without embedding anything"
                )
            _refuse_an_empty_index(held, counts)
            held.not_indexed = not_indexed(con)
            return counts


def looked_at_again(held: HeldTarget, look: Callable[[], list[str]]) -> list[str]:
    """Return the differences that `look` finds, after a while if at first it finds some.

    Counts, fetches and queries may come to see a write one after the other.
    """
    found = look()
    for pause in PAUSES:
        if not found:
            break
        held.run.pause(pause)
        found = look()
    return found


def _refuse_an_empty_index(held: HeldTarget, counts: PlanCounts) -> None:
    """Raise NothingLiveError where the index holds nothing of what is listed, whichever run found out why."""
    if counts.held or counts.doubtful:
        return
    raise NothingLiveError(
        f"none of the {counts.listed} listed images of corpus {held.target.corpus} is in index"
        f" {held.target.name}: {counts.quarantined} are quarantined, {counts.rejected} rejected and"
        f" {counts.awaited} not embedded. `pinery status` lists them with reasons; once the cause is fixed,"
        " `pinery run` with `retry_quarantined` tries them again"
    )


def _differences(held: HeldTarget, con: duckdb.DuckDBPyConnection, counts: PlanCounts) -> list[str]:
    found = retry_through_outage(held, held.index.count)
    fresh = counts.doubtful - counts.held_in_doubt
    expected = range(counts.held - counts.held_in_doubt, counts.held + fresh + 1)
    differences = [] if found in expected else [f"it holds {found} rows, the ledger {counts.held}"]
    return differences + differences_of_sample(held, con, random.Random(held.run.name))


def differences_of_sample(held: HeldTarget, con: duckdb.DuckDBPyConnection, chooser: random.Random) -> list[str]:
    """Return how rows of the index, a sample by `chooser`, differ from what was sent; `con` has the target's plan."""
    parts = [
        row[0] for row in con.execute("SELECT DISTINCT part FROM winner WHERE error IS NULL ORDER BY part").fetchall()
    ]
    differences = []
    for part in chooser.sample(parts, min(SAMPLED_PARTS, len(parts))):
        rows = _random_rows(held.target.checkpoint, part, chooser)
        con.register("sampled", rows.select(["id", "version"]))
        expected = con.execute(
            """
            SELECT i.id, l.metadata FROM sampled p JOIN items i USING (id, version) JOIN listing l USING (position)
            WHERE i.part = $part AND NOT (i.absent OR i.other_version OR i.other_metadata OR i.doubt)
            """,
            {"part": part},
        ).fetchall()
        con.unregister("sampled")
        values: dict[Any, Any] = dict(zip(rows.column("id").to_pylist(), rows["values"].to_pylist(), strict=True))
        found = retry_through_outage(held, partial(held.index.fetch, [row[0] for row in expected]))
        for row_id, metadata in expected:
            difference = difference_of(found.get(row_id), values[row_id], json.loads(metadata))
            if difference:
                differences.append(f"{row_id} {WORDS[difference]}")
    return differences


def _random_rows(checkpoint: Checkpoint, part: str, chooser: random.Random) -> pa.Table:
    with checkpoint.open(part) as source, pq.ParquetFile(source, pre_buffer=False) as file:
        group = chooser.randrange(file.metadata.num_row_groups)
        table = file.read_row_group(group, columns=["id", "version", "values"])
    table = table.filter(table["values"].is_valid())
    return table.take(sorted(chooser.sample(range(table.num_rows), min(SAMPLED_ROWS, table.num_rows))))
