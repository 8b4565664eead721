"""Shows on a terminal what is live, and what was before."""

from typing import Any

import click

from pinery.reports import Promotion


def promotion(data: Promotion) -> None:
    """Print a change of what is live."""
    verb = "Promoted" if data.what == "promoted" else "Rolled back to"
    click.echo(f"{verb} {_words(data.live)}: it is live now, in generation {data.generation}.")
    if data.former is not None:
        click.echo(
            f"{_words(data.former)} is kept true by every run until {data.former['until']}; `pinery rollback` goes back"
            " to it."
        )
    if data.gate and data.gate != "pass":
        click.echo(click.style(f"The gate had not passed it: {data.gate}.", fg="yellow"), err=True)


def _words(target: Any) -> str:
    return f"index {target['index']} / {target['namespace']} with {target['model']}"
