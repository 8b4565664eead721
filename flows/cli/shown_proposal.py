"""Prints what `pinery init` saw and wrote, and what to do next."""

from __future__ import annotations

import shlex

import click

from flows.cli.tables import add, console, table
from pinery.reports import Proposal
from pinery.sources.selection import left_out_line


def proposal(data: Proposal) -> None:
    """Print the proposal."""
    rows = table(f"config {data.config} for corpus {data.corpus}")
    add(rows, "source", data.source)
    kinds = ", ".join(f"{suffix} {count:,}" for suffix, count in data.suffixes.items())
    add(rows, "images seen", f"{sum(data.suffixes.values()):,}" + (f" ({kinds})" if kinds else ""))
    if not data.complete:
        add(rows, "", "there are more files than were looked at")
    if line := left_out_line(data.left_out):
        add(rows, "others", line)
    shown = f"{data.metadata} finds {', '.join(data.labels)}" if data.metadata else "no labels in names or folders"
    add(rows, "metadata", shown)
    console().print(rows)
    config = shlex.quote(data.config)
    click.echo(f"Next: pinery plan {config}, then pinery run {config}. The file shows what else could be.")
