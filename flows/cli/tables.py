"""Tables on a terminal, in which each value stays as it is."""

import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

UNFOLDED = 1_000_000
"""The columns where stdout is no terminal, so that each value stays whole, on one line."""


def table(title: str) -> Table:
    """Print a title, and return a table for names and their values below it."""
    click.secho(title, bold=True)
    made = Table(show_header=False, box=None, pad_edge=False)
    made.add_column(style="cyan", no_wrap=True)
    made.add_column(overflow="fold")
    return made


def add(table: Table, *values: str) -> None:
    """Add a row of texts."""
    # As Text, for a plain string's [brackets] are markup to Rich.
    table.add_row(*(Text(value) for value in values))


def console() -> Console:
    """Return the console that tables are printed on."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else UNFOLDED)


def columns(*names: str) -> Table:
    """Return a table with these names above its columns."""
    made = Table(box=None, pad_edge=False)
    for name in names:
        made.add_column(name, overflow="fold")
    return made
