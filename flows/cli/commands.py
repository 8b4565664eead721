"""The command line, `pinery …`: thin; each command calls one flow or one library function.

Whatever is slow to import (torch, prefect, lancedb, duckdb) is imported by the command that needs it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import click

from flows.cli.ending import end
from flows.cli.help import Commands, examples
from flows.leaving import leaving
from flows.parameters import with_flags
from pinery.errors import ConfigError, DifferentError
from pinery.reports import RunReport, VerifyReport

Command = Callable[..., Any]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pinery", prog_name="pinery")
def main() -> None:
    """Keep a Pinecone index true to an image corpus, and search it.

    CONFIG is a YAML file such as configs/sample.yaml; docs/config.md has all of its keys. `pinery COMMAND --help` has
    examples. Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused by a guard or a held lease, 130 or 143
    stopped by a signal (run the same command again to go on).
    """


def command(*options: Callable[[Command], Command]) -> Callable[[Command], click.Command]:
    """Return a command over one config, with `--set` and `--json`."""

    def decorate(function: Command) -> click.Command:
        @functools.wraps(function)
        def run(config: str, overrides: tuple[str, ...], as_json: bool, **flags: Any) -> None:
            with leaving():
                end(lambda: function(config, overrides, as_json=as_json, **flags), as_json)

        wrapped: Command = run
        for option in reversed(options):
            wrapped = option(wrapped)
        wrapped = click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON object to stdout, nothing else."
        )(wrapped)
        wrapped = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a config key.")(
            wrapped
        )
        wrapped = click.argument("config")(wrapped)
        return main.command(name=function.__name__, epilog=examples(function.__name__))(wrapped)

    return decorate


@command(
    click.option("--limit", type=click.IntRange(min=1), help="Only the first N items (per dataset for torchvision)."),
    click.option("--allow-deletes", is_flag=True, help="Let a plan pass that deletes more than the delete_guard."),
    click.option("--allow-changes", is_flag=True, help="Let a plan pass that changes more than the change_guard."),
    click.option("--retry-quarantined", is_flag=True, help="Try again what could not be embedded, or was rejected."),
    click.option("--wait", is_flag=True, help="Wait for another run of the corpus instead of refusing."),
)
def run(config: str, overrides: tuple[str, ...], *, as_json: bool, **flags: Any) -> None:
    """List, plan, embed, upsert, delete, verify: the main job."""
    from flows.cli import shown
    from flows.cli.launch import launch

    shown.run(RunReport.from_dict(launch("reindex", config, overrides, flags)), as_json)


@command(click.option("--limit", type=click.IntRange(min=1), help="As for run."))
def plan(config: str, overrides: tuple[str, ...], *, as_json: bool, limit: int | None) -> None:
    """Say what run would do; loads no model, changes nothing."""
    from flows.cli import shown
    from flows.cli.launch import open_corpus
    from pinery.steps.preview import preview

    shown.preview(preview(open_corpus(config, overrides), limit), as_json)


@command(
    click.option("--index", help="The index to fill; created if absent. Default: the config's."),
    click.option("--allow-deletes", is_flag=True, help="Let a plan pass that deletes more than the delete_guard."),
    click.option("--wait", is_flag=True, help="Wait for another run of the corpus instead of refusing."),
)
def upsert(config: str, overrides: tuple[str, ...], *, as_json: bool, **flags: Any) -> None:
    """Fill the index from listing and checkpoint alone: no model, no images."""
    from flows.cli import shown
    from flows.cli.launch import launch

    shown.run(RunReport.from_dict(launch("upsert", config, overrides, flags)), as_json)


@command(
    click.option("--full", is_flag=True, help="Compare the vectors and metadata of all rows, not of a sample."),
    click.option("--repair", is_flag=True, help="Upsert and delete what differs, and compare again."),
    click.option("--allow-deletes", is_flag=True, help="Let a repair pass that deletes more than the delete_guard."),
    click.option("--wait", is_flag=True, help="Wait for another run of the corpus instead of refusing."),
)
def verify(config: str, overrides: tuple[str, ...], *, as_json: bool, **flags: Any) -> None:
    """Compare the index with the live rows; exit code 1 where they differ."""
    from flows.cli import shown
    from flows.cli.launch import launch

    try:
        shown.comparison(VerifyReport.from_dict(launch("verify", config, overrides, flags)), as_json)
    except DifferentError as error:
        shown.comparison(VerifyReport.from_dict(error.result), as_json)
        if not as_json:
            click.echo(f"pinery: {with_flags(str(error))}", err=True)
        raise click.exceptions.Exit(error.exit_code) from None


@command(
    click.option("--image", metavar="PATH-OR-URL", help="Search by an image."),
    click.option("--text", help="Search by words, with a model that embeds texts too, such as clip:."),
    click.option("--id", "item_id", metavar="ID", help="Search by an item of the corpus."),
    click.option("--top-k", type=click.IntRange(1, 10_000), default=10, show_default=True),
    click.option("--filter", "filter_text", metavar="JSON", help='Such as {"label": {"$eq": "seal"}}.'),
    click.option("--grid", metavar="OUT.png", type=click.Path(dir_okay=False), help="Draw the matches as a picture."),
)
def search(config: str, overrides: tuple[str, ...], *, as_json: bool, **flags: Any) -> None:
    """Find the nearest images of the live index."""
    from flows.cli import shown
    from flows.cli.launch import open_corpus
    from pinery.search.query import Query, search

    query = Query(
        image=flags["image"],
        text=flags["text"],
        id=flags["item_id"],
        top_k=flags["top_k"],
        filter=_filter(flags["filter_text"]),
        grid=flags["grid"],
    )
    shown.matches(search(open_corpus(config, overrides), query), as_json)


@command(click.option("--yes", is_flag=True, help="Do it; without it the rows are only counted."))
def remove(config: str, overrides: tuple[str, ...], *, as_json: bool, yes: bool) -> None:
    """Delete the corpus' namespace from its index; the index and the checkpoint stay."""
    from flows.cli import shown
    from flows.cli.launch import open_corpus
    from flows.progress import current_progress, on_terminal
    from pinery.steps.remove import remove

    corpus = open_corpus(config, overrides)
    with on_terminal():
        result = remove(corpus, really=yes, progress=current_progress())
    shown.removal(result, as_json)


@command(
    click.option(
        "--cron", metavar="CRON", help='When to run it, such as "30 3 * * *"; default: leave schedules alone.'
    ),
    click.option("--timezone", default="UTC", show_default=True, help="The time zone of --cron."),
    click.option("--pool", default="process", show_default=True, help="The work pool whose workers run it."),
    click.option("--name", help="The deployment's name. Default: corpus-CORPUS."),
)
def deploy(config: str, overrides: tuple[str, ...], *, as_json: bool, **flags: Any) -> None:
    """Register CONFIG's run as a deployment with the Prefect server at PREFECT_API_URL, and schedule it."""
    from flows.cli import shown
    from flows.cli.launch import deploy

    shown.deployment(deploy(config, overrides, flags), as_json)


@command()
def status(config: str, overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Show the last run, the live index, and what is quarantined or rejected, with reasons."""
    from flows.cli import shown
    from flows.cli.launch import open_corpus
    from pinery.steps.status import status

    shown.status(status(open_corpus(config, overrides)), as_json)


@command(
    click.option("--grid", metavar="OUT.png", type=click.Path(dir_okay=False), help="Default: show-CORPUS.png."),
    click.option("--count", type=click.IntRange(1, 400), default=25, show_default=True),
    click.option("--seed", type=int, default=0, show_default=True),
)
def show(config: str, overrides: tuple[str, ...], *, as_json: bool, grid: str | None, count: int, seed: int) -> None:
    """Draw a random sample of the corpus as a picture."""
    from flows.cli import shown
    from flows.cli.launch import open_corpus
    from pinery.search.show import show

    shown.sample(show(open_corpus(config, overrides), grid, count, seed), as_json)


@main.command(epilog=examples("models"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout, nothing else.")
def models(as_json: bool) -> None:
    """List the model families."""

    def work() -> None:
        from flows.cli import shown

        shown.models(as_json)

    end(work, as_json)


def _filter(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f'--filter {text!r} is not JSON ({error}); for example \'{{"label": {{"$eq": "seal"}}}}\''
        ) from None
    if not isinstance(value, dict):
        raise ConfigError(f"--filter takes a JSON object, not {text!r}")
    return value
