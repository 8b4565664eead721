"""Compute the plan, judge it, and write the work down in files that tasks read by range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.config import RunSettings
from pinery.duckdb_files import write
from pinery.errors import ConfigError, RefusedError
from pinery.planning.guards import judge_plan
from pinery.planning.partition import part_rows, ranges
from pinery.planning.plan import PlanCounts, count_plan, dataset_sizes, define_plan, duplicate_ids, not_indexed
from pinery.steps.run import Run
from pinery.steps.tables import connect, define_tables


@dataclass(frozen=True, slots=True)
class Work:
    """Rows `start` to `stop` (exclusive) of the file `path`, all of `part`."""

    part: str
    path: Path
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows there are to do."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Plan:
    """What the run will do: `embed` makes new parts, `upsert` sends rows of parts that exist."""

    counts: PlanCounts
    embed: tuple[Work, ...]
    upsert: tuple[Work, ...]
    listing: str


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The flags of a run that bear on its plan."""

    limit: int | None = None
    allow_deletes: bool = False
    allow_changes: bool = False
    retry_quarantined: bool = False


def make_plan(run: Run, listing: Path, options: PlanOptions) -> Plan:
    """Plan the run from its listing, and publish the listing once the guards let it pass.

    Raises ConfigError where two items have one id or `limit` is above a dataset's size, RefusedError by the guards.
    """
    corpus = run.corpus
    with run.stage("plan"), connect(run.scratch) as con:
        define_tables(con, listing, corpus.checkpoint, run.open_ledger)
        try:
            counts = judge(con, options, run.settings, corpus.config.corpus)
        except RefusedError:
            run.not_indexed = not_indexed(con)
            raise
        run.not_indexed = not_indexed(con)
        size = part_rows(run.settings.part_rows, corpus.card.dimension)
        embed = _embed_work(con, run.scratch, size, corpus.checkpoint.next_number())
        upsert = upsert_work(con, run.scratch / "upsert.parquet")
    name = corpus.paths.listing(run.name)
    run.check()
    corpus.store.publish(name, listing)
    return Plan(counts, embed, upsert, name)


def count_only(
    scratch: Path, listing: Path, checkpoint: Checkpoint | None, ledger: Ledger | None, options: PlanOptions
) -> PlanCounts:
    """Count what a run would do; guards are not judged."""
    with connect(scratch) as con:
        define_tables(con, listing, checkpoint, ledger)
        check_listing(con, options.limit)
        define_plan(con, limit=options.limit, retry_quarantined=options.retry_quarantined)
        return count_plan(con)


def judge(con: duckdb.DuckDBPyConnection, options: PlanOptions, settings: RunSettings, corpus: str) -> PlanCounts:
    """Define the plan's views, and raise where the listing is wrong or a guard refuses."""
    check_listing(con, options.limit)
    define_plan(con, limit=options.limit, retry_quarantined=options.retry_quarantined)
    counts = count_plan(con)
    reasons = (
        []
        if options.limit is not None
        else judge_plan(
            counts,
            delete_guard=settings.delete_guard,
            change_guard=settings.change_guard,
            allow_deletes=options.allow_deletes,
            allow_changes=options.allow_changes,
        )
    )
    if reasons:
        raise RefusedError(f"corpus {corpus}: {'; and '.join(reasons)}. Nothing was changed")
    return counts


def check_listing(con: duckdb.DuckDBPyConnection, limit: int | None) -> None:
    """Raise ConfigError where two items have one id, or `limit` is above a dataset's size."""
    double = duplicate_ids(con)
    if double:
        raise ConfigError(f"two items have the id {double[0]!r}: {double[1]} and {double[2]}; rename one of them")
    if limit is not None:
        for dataset, size in dataset_sizes(con):
            if limit > size:
                raise ConfigError(f"--limit {limit} is above the {size} items of {dataset or 'the listing'}")


def _embed_work(con: duckdb.DuckDBPyConnection, scratch: Path, size: int, number: int) -> tuple[Work, ...]:
    path = scratch / "embed.parquet"
    rows = _copy(
        con,
        path,
        """
        SELECT l.id, l.uri, l.version, l.bytes, l.metadata, e.metadata_hash
        FROM to_embed e JOIN listing l USING (position) ORDER BY position""",
    )
    return tuple(Work(part_name(number + at), path, *span) for at, span in enumerate(ranges(rows, size)))


def upsert_work(con: duckdb.DuckDBPyConnection, path: Path, rows: str = "to_upsert") -> tuple[Work, ...]:
    """Write the rows of the view or table `rows` (part, position, metadata_hash) to `path`, as one range a part."""
    _copy(
        con,
        path,
        f"""
        SELECT u.part, l.id, l.version, l.metadata, u.metadata_hash
        FROM {rows} u JOIN listing l USING (position) ORDER BY u.part, position""",
    )
    work, at = [], 0
    for part, count in con.execute(f"SELECT part, count(*) FROM {rows} GROUP BY part ORDER BY part").fetchall():
        work.append(Work(part, path, at, at + count))
        at += count
    return tuple(work)


def _copy(con: duckdb.DuckDBPyConnection, path: Path, query: str) -> int:
    write(con, query, path, row_group_rows=16384)
    return int(pq.read_metadata(path).num_rows)


def still_to_upsert(run: Run, plan: Plan) -> Plan:
    """What of the plan is left to upsert once its parts are embedded, as checkpoint and ledger are now."""
    with connect(run.scratch) as con:
        define_tables(con, run.corpus.store.local(plan.listing), run.corpus.checkpoint, run.open_ledger)
        define_plan(con, limit=None, retry_quarantined=False)
        return replace(plan, embed=(), upsert=upsert_work(con, run.scratch / "left.parquet"))


def checkpointed_only(plan: Plan) -> Plan:
    """The plan without what would have to be embedded."""
    return replace(plan, embed=())
