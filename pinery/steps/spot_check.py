"""The check at a run's end: counts and a fetched sample are compared with the live rows, once writes are indexed."""

import random
from collections.abc import Callable
from pathlib import Path

from pinery.corpus.outage import retry_through_outage, settle
from pinery.corpus.run import HeldTarget
from pinery.errors import NothingLiveError, TerminalError
from pinery.planning.plan import PlanCounts, count_plan, not_indexed
from pinery.steps.make_plan import Plan, recorded_by
from pinery.steps.marks import check_mark
from pinery.steps.sample import Sample, differences_of_sample, draw_sample

PAUSES = (1.0, 3.0)
"""The seconds before a difference is looked at again."""


def spot_check(held: HeldTarget, listing: Path, limit: int | None, plan: Plan | None = None) -> PlanCounts:
    """Compare the index with the live rows by counts and a small sample, once the run's writes can be read.

    Returns what is left to do, and what the index holds. Where the run's `plan` had nothing to do, and nothing was
    recorded since, it is still the plan, and no other is made.

    Raises TerminalError where they differ: other counts, rows left to do, or a sampled vector or metadata that is not
    what was sent; where another copy of the state wrote to the index meanwhile; and NothingLiveError where the index
    holds nothing of what is listed. With a `limit` only what the limit allows is expected.
    """
    run = held.run
    check_mark(held)
    with run.stage("verify"):
        settle(held)
        unchanged = plan.unchanged if plan else None
        if plan is not None and unchanged is not None and unchanged.recorded == recorded_by(held):
            counts, sample = plan.counts, unchanged.sample
        else:
            counts, sample = _planned_anew(held, listing, limit)
        differences = looked_at_again(held, lambda: _differences(held, counts, sample))
        if counts.to_upsert or counts.to_delete:
            differences.append(f"{counts.to_upsert} rows are still to upsert and {counts.to_delete} to delete")
        if differences:
            raise TerminalError(
                f"index {held.target.name} does not hold what it should: {'; '.join(differences[:5])}."
                " Something else may have written to it. The checkpoint is safe: `pinery verify CONFIG --full"
                " --repair` finds and repairs the difference without embedding anything"
            )
        _refuse_an_empty_index(held, counts)
        return counts


def _planned_anew(held: HeldTarget, listing: Path, limit: int | None) -> tuple[PlanCounts, Sample]:
    with held.planned(listing, limit=limit) as con:
        held.not_indexed = not_indexed(con)
        return count_plan(con), draw_sample(held.target.checkpoint, con, random.Random(held.run.name))


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


def _differences(held: HeldTarget, counts: PlanCounts, sample: Sample) -> list[str]:
    found = retry_through_outage(held, held.index.count)
    fresh = counts.doubtful - counts.held_in_doubt
    expected = range(counts.held - counts.held_in_doubt, counts.held + fresh + 1)
    differences = [] if found in expected else [f"it holds {found} rows, the ledger {counts.held}"]
    return differences + differences_of_sample(held, sample)
