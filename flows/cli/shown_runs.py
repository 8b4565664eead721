"""Prints a corpus' history, and what differs between two runs."""

from __future__ import annotations

from typing import Any

import click

from flows.cli.tables import add, columns, console
from pinery.reports import History, PastRun, RunsCompared

COUNTS = ("embedded", "upserted", "deleted", "quarantined", "rejected")


def runs(result: History | RunsCompared) -> None:
    """Print the history of a corpus, or the comparison of two runs."""
    if isinstance(result, RunsCompared):
        _comparison(result)
    else:
        _history(result)


def _history(data: History) -> None:
    click.secho(f"runs of corpus {data.corpus} in {data.state}", bold=True)
    if data.runs:
        table = columns("run", "flow", "started", "state", *COUNTS, "images/s", "seconds", "bottleneck", "trend")
        for one in data.runs:
            add(table, *_line(one))
        console().print(table)
    else:
        click.echo("none yet; `pinery run` makes the first one")
    for skipped in data.skipped:
        why = skipped["why"].removeprefix(f"{skipped['file']} ")
        click.echo(click.style(f"WARNING: skipped {skipped['file']}: {why}", fg="yellow"), err=True)


def _line(one: PastRun) -> list[str]:
    counts = [_number(getattr(one, name)) for name in COUNTS]
    rate = _number(one.images_per_second if one.embedded else None)
    trend = ", ".join(word for word in (one.pace, one.amount) if word)
    started = one.started.replace("T", " ").removesuffix("+00:00")
    return [
        one.run,
        one.flow,
        started,
        one.state,
        *counts,
        rate,
        _number(one.wall_seconds),
        one.bottleneck or "–",
        trend,
    ]


def _comparison(data: RunsCompared) -> None:
    click.secho(f"runs {data.run} and {data.other} of corpus {data.corpus}", bold=True)
    if not data.differences:
        click.echo("Nothing differs.")
        return
    table = columns("", "", data.run, data.other, "change")
    group = ""
    for one in data.differences:
        shown = one["group"] if one["group"] != group else ""
        group = one["group"]
        values = [_value(one[side]) for side in ("run", "other")]
        add(table, shown, one["name"].replace("_", " "), *values, _change(one["run"], one["other"]))
    console().print(table)


def _value(value: Any) -> str:
    return str(value) if isinstance(value, str | bool) else _number(value)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _change(first: Any, second: Any) -> str:
    """Return how much a number grew or shrank; an empty text where that says nothing."""
    numbers = [one for one in (first, second) if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) < 2 or not first:
        return ""
    return f"{(second - first) / first:+.0%}"
