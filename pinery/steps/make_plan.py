"""Compute the plan of one target, judge it, and write the work down in files that tasks read by range."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from pinery.checkpoint.parts import part_name
from pinery.corpus.corpus import Corpus
from pinery.corpus.run import HeldTarget
from pinery.errors import ConfigError, RefusedError, TransientError
from pinery.planning.estimate import Amount
from pinery.planning.guards import judge_plan
from pinery.planning.partition import part_rows, ranges
from pinery.planning.plan import PlanCounts, count_plan, define_plan, duplicate_ids, group_sizes, not_indexed
from pinery.planning.sections import amount_of
from pinery.records import Work
from pinery.steps.lost_labels import judge_labels
from pinery.steps.planned_rows import upsert_work, write_rows
from pinery.steps.sample import Sample, draw_sample


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The part of a plan with nothing to do that the check at the run's end needs, if nothing is recorded after it."""

    recorded: tuple[str, ...]
    """See `recorded_by`."""
    sample: Sample


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of the run for one target: `embed` makes new parts, `upsert` sends rows of parts that exist."""

    counts: PlanCounts
    embed: tuple[Work, ...]
    upsert: tuple[Work, ...]
    sound: Work | None
    """A row that the index holds as it should be; None where there is none."""
    amount: Amount
    """How much there was to do when the plan was made."""
    unchanged: Unchanged | None = None
    """None where there is something to do."""

    @property
    def rows(self) -> int:
        """The number of rows that the plan embeds or upserts."""
        return sum(work.rows for work in (*self.embed, *self.upsert))


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The flags of a run that bear on its plan. Raises ConfigError where `limit` is below 1."""

    limit: int | None = None
    allow_deletes: bool = False
    allow_changes: bool = False
    retry_quarantined: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"`limit` must be at least 1, not {self.limit}; leave it out to do everything")


def make_plan(held: HeldTarget, listing: Path, options: PlanOptions) -> Plan:
    """Plan the work that brings the target to `listing`.

    A limit restricts the work, not what is judged: the current listing is always one that could be brought about as a
    whole. Raises ConfigError where two items have one id or `limit` is above a group's size, RefusedError by the
    guards.
    """
    corpus, scratch, recorded = held.run.corpus, held.scratch, recorded_by(held)
    with held.run.stage("plan"), held.planned(listing, retry_quarantined=options.retry_quarantined) as con:
        counts, reasons = judge(con, options, corpus)
        held.not_indexed = not_indexed(con)
        if reasons:
            raise RefusedError(f"corpus {corpus.config.corpus}: {'; and '.join(reasons)}. Nothing was changed")
        sound = _sound_row(con, scratch)
        if options.limit is not None:
            define_plan(con, limit=options.limit, retry_quarantined=options.retry_quarantined)
            counts = count_plan(con)
        embed = _embed_work(con, scratch, held.target.checkpoint.next_number(), lambda rows: _part_size(held, rows))
        plan = Plan(counts, embed, upsert_work(con, scratch / "upsert.parquet"), sound, amount_of(con, counts))
        if plan.rows or counts.to_delete:
            return plan
        sample = draw_sample(held.target.checkpoint, con, random.Random(held.run.name))
        return replace(plan, unchanged=Unchanged(recorded, sample))


def recorded_by(held: HeldTarget) -> tuple[str, ...]:
    """Return the names of the files, beside the listing, that a plan of the target is made from.

    None of them is ever written again under its name, so that with the same names the plan is the same.
    """
    ledger = held.ledger
    return (*ledger.names(), *ledger.rejected_names(), *held.target.checkpoint.names())


def planned_totals(plans: Mapping[HeldTarget, Plan]) -> dict[str, int]:
    """Return how many items each stage of a run will have done in the end, for all of its targets together.

    What one target embeds, the targets of the same model after it only upsert.
    """
    images: dict[str, int] = {}
    for held, plan in plans.items():
        images.setdefault(held.target.card.key, sum(work.rows for work in plan.embed))
    totals = {"embed": sum(images.values()), "upsert": sum(plan.rows for plan in plans.values())}
    deletes = sum(plan.counts.to_delete for plan in plans.values())
    return totals | ({"delete": deletes} if deletes else {})


def judge(con: duckdb.DuckDBPyConnection, options: PlanOptions, corpus: Corpus) -> tuple[PlanCounts, list[str]]:
    """Count the plan of the whole listing that is defined in `con`, and say why the guards refuse it.

    Raises ConfigError where two items have one id, or the limit is above a dataset's size.
    """
    check_listing(con, options.limit)
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
    """Raise ConfigError where two items have one id, or `limit` is above a group's size.

    Raises TransientError where the source listed one item twice.
    """
    double = duplicate_ids(con)
    if double and double[1] == double[2]:
        raise TransientError(f"the source listed {double[1]} more than once; run again once it is at rest")
    if double:
        raise ConfigError(f"two items have the id {double[0]!r}: {double[1]} and {double[2]}; rename one of them")
    if limit is not None:
        for group, size in group_sizes(con):
            if limit > size:
                raise ConfigError(f"`limit` {limit} is above the {size} items of {group or 'the listing'}")


def _part_size(held: HeldTarget, rows: int) -> int:
    """The rows of a part where so many are to be embedded in all."""
    from pinery.embedding.places import choose_place  # a preview needn't wait for what worker processes import

    most = part_rows(held.settings.part_rows, held.target.card.dimension)
    return choose_place(held.target.config, rows).part_rows(rows, most)


def _embed_work(
    con: duckdb.DuckDBPyConnection, scratch: Path, number: int, size: Callable[[int], int]
) -> tuple[Work, ...]:
    path = scratch / "embed.parquet"
    # A row that no index takes is embedded all the same; without a metadata hash it goes no further.
    hashed = "CASE WHEN NOT w.refused THEN w.metadata_hash END AS metadata_hash"
    rows = write_rows(con, path, "to_embed", f"l.id, l.uri, l.version, l.bytes, {hashed}", "position")
    return tuple(Work(part_name(number + at), path, *span) for at, span in enumerate(ranges(rows, size(rows))))


def _sound_row(con: duckdb.DuckDBPyConnection, scratch: Path) -> Work | None:
    con.execute("""
        CREATE OR REPLACE TABLE sound AS SELECT part, position, metadata_hash FROM items
        WHERE part IS NOT NULL AND NOT bad AND NOT (absent OR other_version OR other_metadata OR doubt) LIMIT 1
    """)
    return next(iter(upsert_work(con, scratch / "sound.parquet", "sound")), None)


def still_to_upsert(held: HeldTarget, plan: Plan, listing: Path, limit: int | None) -> Plan:
    """Return the plan with what is left to upsert once its parts are embedded, as checkpoint and ledger are now."""
    with held.planned(listing, limit=limit) as con:
        sound = _sound_row(con, held.scratch)
        return replace(plan, embed=(), upsert=upsert_work(con, held.scratch / "left.parquet"), sound=sound)


def checkpointed_only(plan: Plan) -> Plan:
    """Return the plan without its work to embed."""
    return replace(plan, embed=(), unchanged=None)
