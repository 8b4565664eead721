"""The end of a run whose index is as it should be: it may go live, old files go, and the report is closed."""

from collections.abc import Sequence

from pinery.checkpoint.root import keep_newest
from pinery.corpus.live import now
from pinery.corpus.run import HeldTarget, Run
from pinery.corpus.tables import connect
from pinery.errors import RefusedError
from pinery.parquet.files import TableWriter
from pinery.planning.plan import PlanCounts, fold_ledger, snapshot_rows
from pinery.records import LEDGER_SCHEMA
from pinery.reports import Gate, RunReport
from pinery.steps.report import Brought, Reporter

KEPT_LISTINGS = 7
KEPT_REPORTS = 90


def close_run(run: Run, reporter: Reporter, brought: Sequence[Brought], may_replace: bool) -> RunReport:
    """Let the main target go live, tidy up, and publish the finished report.

    The verified index goes live if it may take the place of another (`may_replace`), or if none is live and nothing is
    left to embed; never with a limit. Raises RefusedError where another index went live since the run began, and where
    too many rows are left to embed for it to replace another.
    """
    counts = brought[0].counts
    everything = run.alias.live is None and not counts.awaited
    if reporter.report.limited is None and (may_replace or everything):
        refuse_to_lose_rows(run, counts)
        go_live(run)
    run.seen.change(lambda alias: alias.expired(now()), "what was kept long enough is not retired", run.main.check)
    for one in brought:
        compact_ledger(one.held)
    report = reporter.close(brought)
    keep_newest(run.corpus.store, run.corpus.paths.listings, KEPT_LISTINGS)
    keep_newest(run.corpus.store, run.corpus.paths.runs, KEPT_REPORTS)
    return report


def refuse_to_lose_rows(run: Run, counts: PlanCounts) -> None:
    """Raise RefusedError where the main target would take a live one's place, and lacks too many of the listed rows.

    The live one may hold them, as they were before they moved; deleting so many there would be refused as well.
    """
    entry, live, guard = run.main.target.entry, run.alias.live, run.main.settings.delete_guard
    if live is not None and not live.same_target(entry) and counts.awaited > guard * counts.listed:
        raise RefusedError(
            f"index {entry.place} lacks {counts.awaited} of the {counts.listed} listed items, which had changed or"
            f" vanished since they were listed: over the delete_guard of {guard:.0%}. So {live.place} stays live. Once"
            " the source is at rest, the same command goes on"
        )


def close_candidate(run: Run, reporter: Reporter, brought: Brought, gate: Gate, promoted: bool) -> RunReport:
    """Tidy up after a backfill, and publish the finished report with the gate's verdict."""
    compact_ledger(brought.held)
    report = reporter.close([brought], gate=gate, promoted=promoted)
    keep_newest(run.corpus.store, run.corpus.paths.runs, KEPT_REPORTS)
    return report


def go_live(run: Run) -> None:
    """Make the run's main target the live one, in the place of what was live when the run began.

    Raises RefusedError where something else changed what is live since then.
    """
    entry, at = run.main.target.entry, now()
    missed = f"index {entry.place} is filled and verified, and didn't go live"
    run.seen.change(lambda alias: alias.with_live(entry, at, run.name), missed, run.main.check)


def compact_ledger(held: HeldTarget) -> None:
    """Replace the ledger's entries by a snapshot once they exceed a tenth of it."""
    ledger = held.ledger
    if not ledger.wants_snapshot():
        return
    path = held.scratch / "snapshot.parquet"
    with connect(held.scratch) as con, TableWriter(path, LEDGER_SCHEMA) as writer:
        fold_ledger(con, [str(file) for file in ledger.files()])
        for batch in snapshot_rows(con).to_arrow_reader(16384):
            writer.append(batch)
    with held.writing():
        ledger.publish_snapshot(path)
