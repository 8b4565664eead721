"""Compute the plan, judge it, and write the work down in files that tasks read by range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.duckdb_files import write
from pinery.errors import ConfigError, RefusedError
from pinery.planning.guards import judge_plan
from pinery.planning.partition import part_rows, ranges
from pinery.planning.plan import PlanCounts, count_plan, dataset_sizes, define_plan, duplicate_ids, not_indexed
from pinery.steps.corpus import Corpus
from pinery.steps.lost_labels import judge_labels
from pinery.steps.metadata_file import write_metadata
from pinery.steps.run import Run
from pinery.steps.tables import connect, define_tables


@dataclass(frozen=True, slots=True)
class Work:
    """Rows `start` to `stop` (exclusive) of the file `path`, all of `part`."""

    part: str
    path: Path
    """It has no metadata: that lies beside it, a row for a row, to be read a piece at a time."""
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows there are to do."""
        return self.stop - self.start

    @property
    def metadata(self) -> Path:
        """The file with the metadata of the rows of `path`."""
        return _metadata_file(self.path)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the run will do: `embed` makes new parts, `upsert` sends rows of parts that exist."""

    counts: PlanCounts
    embed: tuple[Work, ...]
    upsert: tuple[Work, ...]
    listing: str


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The flags of a run that bear on its plan. Raises ConfigError where `limit` is below 1."""

    limit: int | None = None
    allow_deletes: bool = False
    allow_changes: bool = False
    retry_quarantined: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be at least 1, not {self.limit}; leave it out to do everything")


def make_plan(run: Run, listing: Path, options: PlanOptions) -> Plan:
    """Plan the run from its listing, and publish the listing once the guards let it pass.

    A limit restricts the work, not what is judged: the current listing is always one that could be brought about as a
    whole. Raises ConfigError where two items have one id or `limit` is above a dataset's size, RefusedError by the
    guards.
    """
    corpus = run.corpus
    with run.stage("plan"), connect(run.scratch) as con:
        define_tables(con, listing, corpus.checkpoint, run.open_ledger)
        counts, reasons = judge(con, options, corpus)
        run.not_indexed = not_indexed(con)
        if reasons:
            raise RefusedError(f"corpus {corpus.config.corpus}: {'; and '.join(reasons)}. Nothing was changed")
        run.probe = _probe(con, run.scratch)
        if options.limit is not None:
            define_plan(con, limit=options.limit, retry_quarantined=options.retry_quarantined)
            counts = count_plan(con)
        size = part_rows(run.settings.part_rows, corpus.card.dimension)
        embed = _embed_work(con, run.scratch, size, corpus.checkpoint.next_number())
        upsert = upsert_work(con, run.scratch / "upsert.parquet")
    name = corpus.paths.listing(run.name)
    run.check()
    corpus.store.publish(name, listing)
    return Plan(counts, embed, upsert, name)


def foresee(
    scratch: Path,
    listing: Path,
    checkpoint: Checkpoint | None,
    ledger: Ledger | None,
    options: PlanOptions,
    corpus: Corpus,
) -> tuple[PlanCounts, list[str]]:
    """Count what a run would do, and say why it would be refused."""
    with connect(scratch) as con:
        define_tables(con, listing, checkpoint, ledger)
        counts, reasons = judge(con, options, corpus)
        if options.limit is not None:
            define_plan(con, limit=options.limit, retry_quarantined=options.retry_quarantined)
            counts = count_plan(con)
        return counts, reasons


def judge(con: duckdb.DuckDBPyConnection, options: PlanOptions, corpus: Corpus) -> tuple[PlanCounts, list[str]]:
    """Define the plan of the whole listing; return its counts, and why the guards refuse it.

    Raises ConfigError as `check_listing` does.
    """
    check_listing(con, options.limit)
    define_plan(con, limit=None, retry_quarantined=options.retry_quarantined)
    counts, guards = count_plan(con), corpus.config.run
    reasons = judge_plan(
        counts,
        delete_guard=guards.delete_guard,
        change_guard=guards.change_guard,
        allow_deletes=options.allow_deletes,
        allow_changes=options.allow_changes,
    )
    return counts, reasons if options.allow_changes else reasons + judge_labels(con, counts.held, corpus)


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
    # What no index takes is embedded all the same; without metadata it goes no further.
    hashed = "CASE WHEN NOT w.refused THEN w.metadata_hash END AS metadata_hash"
    rows = _write(con, path, "to_embed", f"l.id, l.uri, l.version, l.bytes, {hashed}", "position")
    return tuple(Work(part_name(number + at), path, *span) for at, span in enumerate(ranges(rows, size)))


def upsert_work(con: duckdb.DuckDBPyConnection, path: Path, rows: str = "to_upsert") -> tuple[Work, ...]:
    """Write the rows of the view or table `rows` (part, position, metadata_hash) to `path`, as one range a part."""
    _write(con, path, rows, "w.part, l.id, l.version, w.metadata_hash", "w.part, position")
    work, at = [], 0
    for part, count in con.execute(f"SELECT part, count(*) FROM {rows} GROUP BY part ORDER BY part").fetchall():
        work.append(Work(part, path, at, at + count))
        at += count
    return tuple(work)


def _probe(con: duckdb.DuckDBPyConnection, scratch: Path) -> Work | None:
    """A row that the index holds as it should be."""
    con.execute("""
        CREATE OR REPLACE TABLE sound AS SELECT part, position, metadata_hash FROM state
        WHERE part IS NOT NULL AND NOT bad AND NOT (absent OR other_version OR other_metadata OR doubt) LIMIT 1
    """)
    return next(iter(upsert_work(con, scratch / "probe.parquet", "sound")), None)


def _write(con: duckdb.DuckDBPyConnection, path: Path, rows: str, columns: str, order: str) -> int:
    """Write the `columns` of the view or table `rows` to `path`, and its metadata beside it; return how many rows."""
    query = f"SELECT {columns} FROM {rows} w JOIN listing l USING (position) ORDER BY {order}"
    write(con, query, path, row_group_rows=16384)
    write_metadata(con, _metadata_file(path), rows, order)
    return int(pq.read_metadata(path).num_rows)


def _metadata_file(path: Path) -> Path:
    return path.with_suffix(".metadata.parquet")


def still_to_upsert(run: Run, plan: Plan) -> Plan:
    """What of the plan is left to upsert once its parts are embedded, as checkpoint and ledger are now."""
    with connect(run.scratch) as con:
        define_tables(con, run.corpus.store.local(plan.listing), run.corpus.checkpoint, run.open_ledger)
        define_plan(con, limit=None, retry_quarantined=False)
        run.probe = _probe(con, run.scratch)
        return replace(plan, embed=(), upsert=upsert_work(con, run.scratch / "left.parquet"))


def checkpointed_only(plan: Plan) -> Plan:
    """The plan without what would have to be embedded."""
    return replace(plan, embed=())
