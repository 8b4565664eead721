"""Verify: wait until the run's writes are indexed, then compare counts and a fetched sample with the live rows."""

from __future__ import annotations

import json
import random
from functools import partial
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pinery.checkpoint.parts import Checkpoint
from pinery.errors import TerminalError
from pinery.planning.plan import PlanCounts, count_plan, define_plan, not_indexed
from pinery.steps.compare import difference_of
from pinery.steps.outage import settle
from pinery.steps.run import Run
from pinery.steps.tables import connect, define_tables
from pinery.steps.upsert_part import outlast

SAMPLED_PARTS = 4
SAMPLED_ROWS = 25
PAUSES = (1.0, 3.0)
"""Seconds before a difference is looked at again."""
WORDS = {"missing": "is missing", "wrong": "has another vector", "wrong_metadata": "has other metadata"}


def verify(run: Run, listing: str, limit: int | None) -> PlanCounts:
    """Compare the index with the live rows, and return the counts as they are now.

    Raises TerminalError where they differ: other counts, rows left to do, or a sampled vector or metadata that is not
    what was sent. With a `limit` only what the limit allows is expected.
    """
    corpus = run.corpus
    with run.stage("verify"), connect(run.scratch) as con:
        settle(run)
        define_tables(con, corpus.store.local(listing), corpus.checkpoint, run.open_ledger)
        define_plan(con, limit=limit, retry_quarantined=False)
        counts = count_plan(con)
        run.not_indexed = not_indexed(con)
        differences = _differences(run, con, counts)
        for pause in PAUSES:  # counts, fetches and queries may come to see a write one after the other
            if not differences:
                break
            run.pause(pause)
            differences = _differences(run, con, counts)
        if counts.to_upsert or counts.to_delete:
            differences.append(f"{counts.to_upsert} rows are still to upsert and {counts.to_delete} to delete")
        if differences:
            raise TerminalError(
                f"index {corpus.index_name} does not hold what it should: {'; '.join(differences[:5])}."
                " Something else may have written to it. The checkpoint is safe: `pinery verify CONFIG --full --repair`"
                " finds and mends the difference without embedding anything"
            )
    return counts


def _differences(run: Run, con: duckdb.DuckDBPyConnection, counts: PlanCounts) -> list[str]:
    held = outlast(run, run.corpus.index.count)
    fresh = counts.doubtful - counts.held_in_doubt
    expected = range(counts.held - counts.held_in_doubt, counts.held + fresh + 1)
    differences = [] if held in expected else [f"it holds {held} rows, the ledger {counts.held}"]
    return differences + _differences_of_sample(run, con)


def _differences_of_sample(run: Run, con: duckdb.DuckDBPyConnection) -> list[str]:
    chooser = random.Random(run.name)
    parts = [
        row[0] for row in con.execute("SELECT DISTINCT part FROM winner WHERE error IS NULL ORDER BY part").fetchall()
    ]
    differences = []
    for part in chooser.sample(parts, min(SAMPLED_PARTS, len(parts))):
        rows = _random_rows(run.corpus.checkpoint, part, chooser)
        con.register("sampled", rows.select(["id", "version"]))
        expected = con.execute(
            """
            SELECT s.id, l.metadata FROM sampled p JOIN state s USING (id, version) JOIN listing l USING (position)
            WHERE s.part = $part AND NOT (s.absent OR s.other_version OR s.other_metadata OR s.doubt)
            """,
            {"part": part},
        ).fetchall()
        con.unregister("sampled")
        values: dict[Any, Any] = dict(zip(rows.column("id").to_pylist(), rows["values"].to_pylist(), strict=True))
        found = outlast(run, partial(run.corpus.index.fetch, [row[0] for row in expected]))
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
