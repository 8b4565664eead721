"""Prints what `pinery doctor` found, a line for each check and one for each advice."""

from __future__ import annotations

import click

from flows.cli.tables import add, console, table
from flows.parameters import with_flags
from pinery.reports import Diagnosis

COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}


def diagnosis(data: Diagnosis) -> None:
    """Print the checks, and how many of them found something."""
    checks = table(f"doctor of {data.config}")
    checks.add_column(overflow="fold")
    for one in data.checks:
        add(checks, one.verdict, one.name, with_flags(one.found))
        if one.advice:
            add(checks, "", "", f"→ {with_flags(one.advice)}")
    checks.columns[0].style = ""
    console().print(checks)
    counts = {verdict: sum(one.verdict == verdict for one in data.checks) for verdict in ("wrong", "warning")}
    said = f"{counts['wrong']} wrong, {counts['warning']} {'warning' if counts['warning'] == 1 else 'warnings'}"
    click.secho(said if any(counts.values()) else "all is well", fg=COLOURS[data.verdict])
