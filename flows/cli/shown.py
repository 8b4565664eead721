"""Prints results on a terminal or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from flows.cli import shown_checks, shown_proposal, shown_runs
from flows.cli.tables import add as _add
from flows.cli.tables import console as _console
from flows.cli.tables import table as _table
from flows.parameters import with_flags
from pinery.reports import Preview, Removal, RunReport, Status, VerifyReport, WorkersReport
from pinery.sources.selection import left_out_line

if TYPE_CHECKING:
    from pinery.search.query import Answer

WORK = ("embedded", "reused", "imported", "upserted", "deleted", "moved")
COUNTS = ("listed", "new", "changed", "relabelled", "unchanged", *WORK)
SHOWN_ROWS = 20


def run(report: RunReport) -> None:
    """Print the summary of a run."""
    table = _table(f"run {report.run} of corpus {report.corpus}")
    for name in (*COUNTS, "quarantined", "rejected"):
        count = getattr(report, name)
        if count or name in ("listed", "new", "embedded", "upserted", "quarantined"):
            _add(table, name, f"{count:,}{_remark(name, report.limited)}")
    if left_out := sum((report.left_out or {}).values()):
        _add(table, "left out", f"{left_out:,}")
    stages = [f"{name} {seconds:.1f}" for name, seconds in (report.seconds or {}).items() if seconds >= 0.05]
    _add(table, "seconds", "  ".join(stages))
    if report.embedded:
        _add(table, "images/s", f"{report.images_per_second:,.1f}")
        _add(table, "bottleneck", f"{report.bottleneck}{_share(report)}")
    if report.workers is not None and (report.workers.kind != "threads" or report.workers.gpu_busy is not None):
        _add(table, "embedded by", _workers(report.workers))
    _add(table, "index", f"{report.kind}:{report.index} / {report.namespace} ({report.held:,} rows, verified)")
    for kept in (report.targets or ())[1:]:
        _add(table, kept.role, f"{kept.index} / {kept.namespace} ({kept.held:,} rows, verified)")
    _add_retired(table, report.retired or ())
    _console().print(table)
    if not report.limited and not any(getattr(report, name) for name in (*WORK, "attempted")):
        click.echo("Nothing changed: no model was loaded and no image was read.")
    if report.limited:
        click.echo(f"Limited to the first {report.limited} items; nothing was deleted, and nothing went live.")
    if report.quarantined or report.rejected:
        warning = (
            f"WARNING: {report.quarantined} quarantined and {report.rejected} rejected items are not in the index."
        )
        click.echo(click.style(f"{warning} `pinery status` lists them with reasons.", fg="yellow"), err=True)


def _share(report: RunReport) -> str:
    share = (report.shares or {}).get(report.bottleneck or "")
    whole = "embedding" if report.bottleneck in ("fetch", "decode", "infer") else "the run"
    return "" if share is None else f" ({share:.0%} of {whole})"


def _workers(workers: WorkersReport) -> str:
    where = f"{workers.count} processes" if workers.kind == "processes" else workers.kind
    busy = "" if workers.gpu_busy is None else f"; GPU busy {workers.gpu_busy:.0%}"
    return f"{where} ({workers.why}){busy}"


def preview(data: Preview) -> None:
    """Print the work that a run would do."""
    table = _table(f"plan of corpus {data.corpus}")
    names = ("listed", "new", "changed", "relabelled", "deleted", "unchanged", "quarantined", "to_embed", "to_upsert")
    for name in names:
        _add(table, name, f"{getattr(data, name):,}{_remark(name, data.limited)}")
    _left_out(table, data.left_out)
    estimate = data.estimate
    if estimate.embed_seconds is not None:
        _add(table, "embedding takes about", f"{estimate.embed_seconds:,.0f} s at the last run's rate")
    if estimate.write_units is not None:
        _add(table, "write units about", f"{estimate.write_units:,} (${estimate.dollars:,.2f})")
    if estimate.import_dollars is not None:
        _add(table, "by bulk import about", f"${estimate.import_dollars:,.2f}, where the namespace is new")
    _console().print(table)
    for remark in data.remarks:
        click.echo(click.style(remark, fg="yellow"), err=True)
    for reason in data.refused:
        click.echo(click.style(f"run would refuse this: {with_flags(reason)}", fg="yellow"), err=True)


def comparison(report: VerifyReport) -> None:
    """Print how an index differs from the live rows."""
    counts = report.counts
    table = _table(f"index {report.kind}:{report.index} / {report.namespace} against corpus {report.corpus}")
    for name in ("expected", "held", "missing", "extra", "stale", "wrong", "wrong_metadata"):
        _add(table, name.replace("_", " "), f"{getattr(counts, name):,}")
    if counts.awaited:
        _add(table, "awaited", f"{counts.awaited:,} (not embedded as listed yet; what the index has of them stays)")
    sampled = not report.full and counts.checked < counts.expected - counts.missing - counts.stale
    _add(table, "compared by value", f"{counts.checked:,}{' (a sample; --full compares all)' if sampled else ''}")
    if counts.rounded:
        _add(table, "rounded", f"{counts.rounded:,} vectors are equal only within 1e-6")
    if report.repaired is not None:
        _add(table, "repaired", f"{report.repaired['upserted']:,} upserted, {report.repaired['deleted']:,} deleted")
    if report.differences:
        _add(table, "ids that differ", report.differences)
    _console().print(table)


def removal(data: Removal) -> None:
    """Print the rows that were removed, or would be."""
    where = f"namespace {data.namespace} of index {data.kind}:{data.index} ({data.rows:,} rows)"
    if data.removed:
        click.echo(f"Deleted {where}. The checkpoint stays: `pinery upsert CONFIG` fills it again without a model.")
    else:
        click.echo(f"Would delete {where}; nothing was changed. --yes does it.")


def matches(answer: Answer) -> None:
    """Print the matches of a search."""
    table = Table(box=None, pad_edge=False)
    for name in ("score", "label", "id", "uri"):
        table.add_column(name, overflow="fold")
    for match in answer.matches:
        _add(table, f"{match.score:.4f}", str(match.metadata.get("label", "")), match.id, match.uri)
    _console().print(table)
    if not answer.matches:
        click.echo("no item matches")
    if answer.grid:
        click.echo(f"picture: {answer.grid}")


def status(data: Status) -> None:
    """Print the state of a corpus."""
    table = _table(f"corpus {data.corpus}")
    last, live = data.last_run, data.live
    _add(table, "state", data.state)
    _add(table, "live index", f"{live['kind']}:{live['index']} / {live['namespace']}" if live else "none yet")
    _add(table, "rows held", f"{data.held:,}")
    _add(table, "parts", f"{data.parts:,} (the files that the vectors are in)")
    if data.awaited:
        _add(table, "awaited", f"{data.awaited:,} items not embedded yet as they are listed")
    _add_retired(table, data.retired)
    if data.running:
        _add(table, "running", data.running)
    _add(table, "last run", f"{last.run}: {last.state}" if last else "none yet")
    if last:
        _add_last_run(table, last)
    if left := ", ".join(f"{count:,} to {what}" for what, count in data.left.items() if count):
        _add(table, "left to do", f"{left}; `pinery run` goes on with it")
    if last:
        _left_out(table, last.left_out or {})
        if last.moved:
            _add(table, "moved", f"{last.moved:,} items in the last run")
    _console().print(table)
    for name in ("quarantined", "rejected"):
        items = getattr(data, name)
        _list(f"{name}: {len(items):,} items not in the index", items)
    known = {one["id"] for one in data.quarantined}
    examples = [one for one in ((last.examples if last else None) or ()) if one["id"] not in known]
    _list("not embedded by the last run, and not recorded", examples)


def deployment(data: dict[str, Any]) -> None:
    """Print what was registered, and what to do next."""
    name, pool = data["deployment"], data["pool"]
    click.echo(f"Registered {name} with {data['api']}, for the work pool {pool}.")
    for one in data["schedules"]:
        paused = "" if one["active"] else f"; it is paused, `prefect deployment schedule ls {name}` lists it"
        click.echo(f"Scheduled: {one['cron']} {one['timezone']}{paused}.")
    if not data["schedules"]:
        click.echo('It has no schedule yet; --cron "30 3 * * *" gives it one.')
    click.echo(f"Run it now: prefect deployment run '{name}'. Workers run it: prefect worker start --pool {pool}")


def _list(title: str, items: Sequence[Mapping[str, str]]) -> None:
    if not items:
        return
    import pandas as pd

    click.echo(f"\n{title}")
    rows = pd.DataFrame({"id": [one["id"] for one in items], "reason": [with_flags(one["reason"]) for one in items]})
    click.echo(rows.head(SHOWN_ROWS).to_string(index=False, justify="left"))
    if len(rows) > SHOWN_ROWS:
        click.echo(f"… and {len(rows) - SHOWN_ROWS:,} more; --json lists all")


def _add_retired(table: Table, retired: Sequence[Mapping[str, str]]) -> None:
    for one in retired:
        where = f"{one['kind']}:{one['index']} / {one['namespace']}"
        _add(table, "retired", f"{where}: nothing keeps its rows true any more; `{one['remove']}` deletes them")


def sample(data: dict[str, Any]) -> None:
    """Print the path of the sample's picture."""
    click.echo(f"picture of {len(data['items'])} items: {Path(data['grid'])}")


def _remark(name: str, limit: int | None) -> str:
    """Return the remark that a count needs to be understood, or an empty text."""
    if name == "listed" and limit:
        return f" (limited to the first {limit:,})"
    return " (took the vector of an image with the same bytes)" if name == "reused" else ""


def _add_last_run(table: Table, last: RunReport) -> None:
    """Add when a run was and what it counted; one that ended early has fewer counts, and one that died has no end."""
    if last.started:
        _add(table, "started", last.started.replace("T", " "))
    if last.started and last.finished:
        took = datetime.fromisoformat(last.finished) - datetime.fromisoformat(last.started)
        _add(table, "ended", f"{last.finished.replace('T', ' ')} (after {took})")
    counts = {name: getattr(last, name) for name in (*COUNTS, "quarantined", "rejected")}
    shown = [f"{name} {count:,}" for name, count in counts.items() if count or (name == "listed" and count is not None)]
    if shown:
        _add(table, "counts", "  ".join(shown))
    if last.error:
        _add(table, "error", last.error)


def _left_out(table: Table, left_out: Mapping[str, int]) -> None:
    if line := left_out_line(left_out):
        _add(table, "listing", line)


def models(data: dict[str, Any]) -> None:
    """Print the model families."""
    for family in data["models"]:
        table = _table(family["reference"])
        for name in ("dimension", "text", "licence", "preprocessing", "download"):
            value = family[name]
            _add(table, name, str(value) if isinstance(value, str) else "yes" if value else "no")
        _console().print(table)


PRINTERS: dict[str, Callable[[Any], None]] = {
    "run": run,
    "plan": preview,
    "upsert": run,
    "verify": comparison,
    "search": matches,
    "remove": removal,
    "deploy": deployment,
    "init": shown_proposal.proposal,
    "doctor": shown_checks.diagnosis,
    "status": status,
    "runs": shown_runs.runs,
    "show": sample,
    "models": models,
}
"""The function that prints the result of each command on a terminal."""


def show(command: str, result: Any, as_json: bool) -> None:
    """Print the result of a command, which has a `to_dict` or is what `--json` prints."""
    if as_json:
        click.echo(json.dumps(result if isinstance(result, dict) else result.to_dict(), default=str))
    else:
        PRINTERS[command](result)
