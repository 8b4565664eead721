"""Prints what a prune removed, or would."""

from __future__ import annotations

import click
from rich.table import Table

from flows.cli.tables import add, console
from pinery.reports import Pruning, Removable

UNITS = ("bytes", "KB", "MB", "GB", "TB")


def pruning(data: Pruning) -> None:
    """Print what can be removed, what was, and how to do it."""
    if not data.removable:
        click.echo(f"Corpus {data.corpus} has nothing to remove.")
        return
    rows = Table(box=None, pad_edge=False)
    for name in ("what", "name", "size", "why"):
        rows.add_column(name, overflow="fold", justify="right" if name == "size" else "left")
    for one in data.removed or data.removable:
        add(rows, one.what, one.name, _size(one.bytes), one.why)
    console().print(rows)
    if data.removed:
        click.echo(f"Removed {len(data.removed):,} of {len(data.removable):,}: about {_size(_bytes(data.removed))}.")
    else:
        click.echo(f"Would set free about {_size(_bytes(data.removable))}; nothing was changed. --yes does it.")


def _bytes(items: tuple[Removable, ...]) -> int:
    return sum(one.bytes for one in items)


def _size(count: float) -> str:
    unit = 0
    while count >= 1000 and unit < len(UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:,.1f} {UNITS[unit]}" if unit else f"{count:,.0f} {UNITS[0]}"
