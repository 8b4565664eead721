"""Prints the state of a corpus on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import click
from rich.table import Table

from flows.cli.shown_run import COUNTS, add_left_out, add_retired
from flows.cli.tables import add, columns, console
from flows.cli.tables import table as titled
from flows.parameters import with_flags
from pinery.reports import RunReport, Status

SHOWN_ROWS = 20


def status(data: Status) -> None:
    """Print the state of a corpus."""
    table = titled(f"corpus {data.corpus}")
    last, live = data.last_run, data.live
    add(table, "state", data.state)
    add(table, "live index", f"{live['kind']}:{live['index']} / {live['namespace']}" if live else "none yet")
    if live:
        add(table, "model", f"{live['model']} (model key {live['model_key']}), generation {data.generation}")
    if data.remark:
        add(table, "config", with_flags(data.remark))
    add(table, "rows held", f"{data.held:,}")
    add(table, "parts", f"{data.parts:,} (the files that the vectors are in)")
    if data.awaited:
        add(table, "awaited", f"{data.awaited:,} items not embedded yet as they are listed")
    add_retired(table, data.retired)
    if data.running:
        add(table, "running", data.running)
    add(table, "last run", f"{last.run}: {last.state}{_trend(data)}" if last else "none yet")
    if last:
        _last_run(table, last)
    if left := ", ".join(f"{count:,} to {what}" for what, count in data.left.items() if count):
        add(table, "left to do", f"{left}; `pinery run` goes on with it")
    if last:
        add_left_out(table, last.left_out or {})
        if last.moved:
            add(table, "moved", f"{last.moved:,} items in the last run")
    console().print(table)
    _targets(data)
    for name in ("quarantined", "rejected"):
        items = getattr(data, name)
        _items(f"{name}: {len(items):,} items not in the index", items)
    known = {one["id"] for one in data.quarantined}
    examples = [one for one in ((last.examples if last else None) or ()) if one["id"] not in known]
    _items("not embedded by the last run, and not recorded", examples)


def _items(title: str, items: Sequence[Mapping[str, str]]) -> None:
    if not items:
        return
    click.echo(f"\n{title}")
    rows = columns("id", "reason")
    for one in items[:SHOWN_ROWS]:
        add(rows, one["id"], with_flags(one["reason"]))
    console().print(rows)
    if len(items) > SHOWN_ROWS:
        click.echo(f"… and {len(items) - SHOWN_ROWS:,} more; --json lists all")


def _targets(data: Status) -> None:
    """Print a row for each target, where there are others than the live one, and when what is kept is retired."""
    if len(data.targets) < 2 and not data.retired:
        return
    click.echo("\ntargets")
    rows = columns("", "index", "model", "rows", "vectors", "left to do", "")
    dates = {one["index"]: f"until {one['until']}" for one in data.kept}
    dates |= {one["index"]: f"gate: {one['gate']}" for one in data.candidates}
    for one in data.targets:
        left = ", ".join(f"{count:,} to {what}" for what, count in one.left.items() if count) or "–"
        counts = [f"{one.held:,}", f"{one.vectors:,}", left]
        add(rows, one.role, f"{one.index} / {one.namespace}", one.model, *counts, dates.get(one.index, ""))
    console().print(rows)


def _last_run(table: Table, last: RunReport) -> None:
    """Add when a run was and what it counted; one that ended early has fewer counts, and one that died has no end."""
    if last.started:
        add(table, "started", last.started.replace("T", " "))
    if last.started and last.finished:
        took = datetime.fromisoformat(last.finished) - datetime.fromisoformat(last.started)
        add(table, "ended", f"{last.finished.replace('T', ' ')} (after {took})")
    counts = {name: getattr(last, name) for name in (*COUNTS, "quarantined", "rejected")}
    shown = [f"{name} {count:,}" for name, count in counts.items() if count or (name == "listed" and count is not None)]
    if shown:
        add(table, "counts", "  ".join(shown))
    if last.error:
        add(table, "error", last.error)


def _trend(data: Status) -> str:
    """Return how the last run compares with those before it, if that is worth telling."""
    words = [word for one in data.runs[:1] for word in (one.pace, one.amount) if word]
    return f" ({', '.join(words)} than the runs before; `pinery runs` has them)" if words else ""
