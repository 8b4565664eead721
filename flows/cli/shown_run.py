"""Prints the report of a run on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click
from rich.table import Table

from flows.cli.shown_gate import gate_lines
from flows.cli.tables import add, console
from flows.cli.tables import table as titled
from flows.parameters import with_flags
from pinery.reports import Drift, RunReport, WorkersReport
from pinery.sources.selection import left_out_line

WORK = ("embedded", "reused", "imported", "upserted", "deleted", "moved")
COUNTS = ("listed", "new", "changed", "relabelled", "unchanged", *WORK)


def run(report: RunReport) -> None:
    """Print the summary of a run."""
    table = titled(f"run {report.run} of corpus {report.corpus}")
    for name in (*COUNTS, "quarantined", "rejected"):
        count = getattr(report, name)
        if count or name in ("listed", "new", "embedded", "upserted", "quarantined"):
            add(table, name, f"{count:,}{remark_on(name, report.limited)}")
    if left_out := sum((report.left_out or {}).values()):
        add(table, "left out", f"{left_out:,}")
    stages = [f"{name} {seconds:.1f}" for name, seconds in (report.seconds or {}).items() if seconds >= 0.05]
    add(table, "seconds", "  ".join(stages))
    if report.embedded:
        add(table, "images/s", f"{report.images_per_second:,.1f}")
        add(table, "bottleneck", f"{report.bottleneck}{_share(report)}")
    if report.drift is not None:
        add(table, "drift", drift_line(report.drift))
    if report.workers is not None and (report.workers.kind != "threads" or report.workers.gpu_busy is not None):
        add(table, "embedded by", _workers(report.workers))
    add(table, "index", f"{report.kind}:{report.index} / {report.namespace} ({report.held:,} rows, verified)")
    for kept in (report.targets or ())[1:]:
        state = f"{kept.held:,} rows, verified" if kept.error is None else f"left out: {with_flags(kept.error)}"
        add(table, kept.role, f"{kept.index} / {kept.namespace} ({state})")
    add_retired(table, report.retired or ())
    console().print(table)
    if report.gate is not None:
        for line in gate_lines(report.gate):
            click.echo(line)
        _say_what_is_next(report)
        return
    if not report.limited and not any(getattr(report, name) for name in (*WORK, "attempted")):
        click.echo("Nothing changed: no model was loaded and no image was read.")
    if report.limited:
        click.echo(f"Limited to the first {report.limited} items; nothing was deleted, and nothing went live.")
    if report.quarantined or report.rejected:
        warning = (
            f"WARNING: {report.quarantined} quarantined and {report.rejected} rejected items are not in the index."
        )
        click.echo(click.style(f"{warning} `pinery status` lists them with reasons.", fg="yellow"), err=True)


def _say_what_is_next(report: RunReport) -> None:
    if report.promoted:
        click.echo("It is live now, and the former live index is kept true: `pinery rollback` goes back to it.")
    elif report.gate is not None and report.gate.verdict == "pass":
        click.echo(f"`pinery promote CONFIG --index {report.index}` makes it the live one.")


def drift_line(drift: Drift) -> str:
    """Return the drift of the new vectors in one line."""
    mean = f"the mean of the new vectors is at cosine {drift.cosine:.3f} to the mean of those before"
    return f"{mean}, their norm {drift.norm:.2f} times theirs (samples of {drift.new:,} and {drift.old:,})"


def _share(report: RunReport) -> str:
    share = (report.shares or {}).get(report.bottleneck or "")
    whole = "embedding" if report.bottleneck in ("fetch", "decode", "infer") else "the run"
    return "" if share is None else f" ({share:.0%} of {whole})"


def _workers(workers: WorkersReport) -> str:
    where = f"{workers.count} processes" if workers.kind == "processes" else workers.kind
    busy = "" if workers.gpu_busy is None else f"; GPU busy {workers.gpu_busy:.0%}"
    return f"{where} ({workers.why}){busy}"


def add_retired(table: Table, retired: Sequence[Mapping[str, str]]) -> None:
    """Add the indexes that no run keeps true any more."""
    for one in retired:
        where = f"{one['kind']}:{one['index']} / {one['namespace']}"
        add(table, "retired", f"{where}: nothing keeps its rows true any more; `{one['remove']}` deletes them")


def add_left_out(table: Table, counts: Mapping[str, int]) -> None:
    """Add what the listing left out, by kind."""
    if line := left_out_line(counts):
        add(table, "listing", line)


def remark_on(name: str, limit: int | None) -> str:
    """Return the remark that a count needs to be understood, or an empty text."""
    if name == "listed" and limit:
        return f" (limited to the first {limit:,})"
    return " (took the vector of an image with the same bytes)" if name == "reused" else ""
