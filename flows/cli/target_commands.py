"""The commands that put another target in the place of the live one: `backfill`, `promote` and `rollback`."""

import json
from typing import Any

import click

from flows.cli.command import WAIT, command
from pinery.errors import ConfigError
from pinery.reports import Promotion, RunReport


@command(
    click.option("--model", required=True, metavar="REF", help="The new model: a reference, or JSON."),
    click.option("--index", metavar="NAME", help="The fresh index; by default its name has the model key."),
    click.option("--promote", is_flag=True, help="Make it live if the gate passes it; anything else ends with 3."),
    WAIT,
)
def backfill(config: str, overrides: tuple[str, ...], *, model: str, **flags: Any) -> RunReport:
    """Fill a fresh index with another model beside the live one, and compare both."""
    from flows.cli.launch import launch

    flags["model"] = _settings(model)
    return RunReport.from_dict(launch("backfill", config, overrides, flags))


@command(
    click.option("--index", required=True, metavar="NAME", help="A candidate that a backfill filled, or a kept index."),
    click.option("--force", is_flag=True, help="Promote it even though the gate did not pass it."),
)
def promote(config: str, overrides: tuple[str, ...], *, index: str, force: bool) -> Promotion:
    """Make another index the live one; the former is kept true beside it for a while."""
    from flows.cli.launch import announced, open_corpus
    from pinery.steps.promote import promote

    return announced(promote(open_corpus(config, overrides), index, force=force))


@command()
def rollback(config: str, overrides: tuple[str, ...]) -> Promotion:
    """Make the index live again that was before the last promotion."""
    from flows.cli.launch import announced, open_corpus
    from pinery.steps.promote import rollback

    return announced(rollback(open_corpus(config, overrides)))


def _settings(model: str) -> str | dict[str, Any]:
    if not model.lstrip().startswith("{"):
        return model
    try:
        value = json.loads(model)
    except ValueError as error:
        raise ConfigError(f"--model {model!r} is neither a reference nor JSON ({error})") from None
    return dict(value)
