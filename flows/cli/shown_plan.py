"""Prints a plan: its sections for each target, what the work takes, what would be refused, and the action."""

from __future__ import annotations

import click
from rich.table import Table

from flows.cli.tables import add, console, table
from flows.parameters import with_flags
from pinery.reports import Preview, TargetPlan, estimate_lines
from pinery.sources.selection import left_out_line

SECTIONS = {
    "new": "Added",
    "changed": "Changed",
    "relabelled": "Relabelled",
    "removed": "Removed",
    "unchanged": "Unchanged",
    "quarantined": "Quarantined",
}
"""The sections' names, by their counts."""


def preview(data: Preview) -> None:
    """Print the work that a run would do."""
    click.secho(f"plan of corpus {data.corpus}", bold=True)
    limited = f" (limited to the first {data.limited:,})" if data.limited else ""
    click.echo(f"{data.listed:,} items listed{limited}; serial {data.serial}")
    if line := left_out_line(data.left_out):
        click.echo(line)
    for target in data.targets:
        _target(target)
    for remark in data.remarks:
        click.echo(click.style(remark, fg="yellow"), err=True)
    for reason in data.refused:
        click.echo(click.style(f"run would refuse this: {with_flags(reason)}", fg="yellow"), err=True)
    if len(data.targets) > 1 and estimate_lines(data.estimate):
        _lines(table("\nin all"), estimate_lines(data.estimate))
    click.echo()
    click.secho(data.action, bold=True)


def _target(target: TargetPlan) -> None:
    where = f"{target.kind}:{target.index or '(named after the model)'} / {target.namespace}"
    made = table(f"\n{target.role} index {where}")
    for name, word in SECTIONS.items():
        add(made, word, _section(getattr(target, name), () if name == "unchanged" else target.examples[name]))
    if target.rejected:
        add(made, "Rejected", _section(target.rejected, target.examples["rejected"]))
    if target.parts:
        add(made, "parts", f"{target.parts:,}")
    _lines(made, estimate_lines(target.estimate))


def _section(count: int, ids: tuple[str, ...]) -> str:
    more = ", …" if count > len(ids) else ""
    return f"{count:,}" + (f": {', '.join(ids)}{more}" if ids else "")


def _lines(made: Table, lines: list[str]) -> None:
    for line in lines:
        word, _, rest = line.partition(" ")
        add(made, word, rest)
    console().print(made)
