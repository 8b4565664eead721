"""The command line, `pinery …`: thin; each command calls one flow or one library function.

Whatever is slow to import (torch, prefect, lancedb, duckdb) is imported by the command that needs it.
"""

import json
from dataclasses import asdict
from typing import Any

import click

from flows.cli.command import AS_JSON, WAIT, allow_deletes, command, main, print_result
from flows.cli.ending import end
from flows.cli.help import examples
from pinery.errors import ConfigError
from pinery.reports import RunReport, VerifyReport

__all__ = ["main"]


PLANNED = (
    click.option("--limit", type=click.IntRange(min=1), help="Only the first N items (per dataset for torchvision)."),
    allow_deletes(),
    click.option("--allow-changes", is_flag=True, help="Let a plan pass that changes more than the change_guard."),
    click.option("--retry-quarantined", is_flag=True, help="Try again what could not be embedded, or was rejected."),
)
"""The options of a run that bear on its plan."""


@command(
    *PLANNED,
    click.option(
        "--plan",
        "saved",
        metavar="FILE",
        help="Do what `plan --out FILE` saved, with its options, or refuse where anything moved since.",
    ),
    WAIT,
)
def run(config: str, overrides: tuple[str, ...], *, saved: str | None, **flags: Any) -> RunReport:
    """List, plan, embed, upsert, delete, verify: the main job."""
    from flows.cli.launch import launch

    if saved is not None:
        from flows.cli.saved_plan import read_saved

        flags["plan"] = read_saved(saved, flags)
    return RunReport.from_dict(launch("reindex", config, overrides, flags))


@command(*PLANNED, click.option("--out", metavar="FILE", help="Save the plan, for `run --plan FILE`."))
def plan(config: str, overrides: tuple[str, ...], *, out: str | None, **flags: Any) -> Any:
    """Say what run would do, how long it takes and what it costs; loads no model, changes nothing."""
    from flows.cli.launch import open_corpus
    from pinery.steps.preview import preview

    told = preview(open_corpus(config, overrides), **flags)
    if out is not None:
        from flows.cli.saved_plan import save

        save(told, out)
    return told


@command(
    click.option("--index", help="The index to fill; created if absent. Default: the config's."),
    allow_deletes(),
    WAIT,
)
def upsert(config: str, overrides: tuple[str, ...], **flags: Any) -> RunReport:
    """Fill the index from listing and checkpoint alone: no model, no images."""
    from flows.cli.launch import launch

    return RunReport.from_dict(launch("upsert", config, overrides, flags))


@command(
    click.option("--full", is_flag=True, help="Compare the vectors and metadata of all rows, not of a sample."),
    click.option("--repair", is_flag=True, help="Upsert and delete what differs, and compare again."),
    allow_deletes("repair"),
    WAIT,
)
def verify(config: str, overrides: tuple[str, ...], **flags: Any) -> VerifyReport:
    """Compare the index with the live rows; exit code 1 where they differ."""
    from flows.cli.launch import launch

    return VerifyReport.from_dict(launch("verify", config, overrides, flags))


@command(
    click.option("--image", metavar="PATH-OR-URL", help="Search by an image."),
    click.option("--text", help="Search by words, with a model that embeds texts too, such as clip:."),
    click.option("--id", metavar="ID", help="Search by an item of the corpus."),
    click.option(
        "--plus",
        multiple=True,
        metavar="IMAGE-OR-WORDS",
        help="Add this to the query: an image, if it is a URL or a file that is there, else words. Repeatable.",
    ),
    click.option("--minus", multiple=True, metavar="IMAGE-OR-WORDS", help="Subtract this from it. Repeatable."),
    click.option("--top-k", type=click.IntRange(1, 10_000), default=10, show_default=True),
    click.option("--filter", metavar="JSON", help='Such as {"label": {"$eq": "seal"}}.'),
    click.option("--grid", metavar="OUT.png", type=click.Path(dir_okay=False), help="Draw the matches as a picture."),
    click.option("--index", metavar="NAME", help="Search this kept index or candidate in the place of the live one."),
)
def search(config: str, overrides: tuple[str, ...], *, filter: str | None, **flags: Any) -> Any:
    """Find the nearest images of the live index."""
    from flows.cli.launch import importing, open_corpus

    with importing():
        from pinery.search.query import Query, search

        query = Query(filter=_filter(filter), **flags)
        corpus = open_corpus(config, overrides)
        if corpus.config.index.kind == "lance":
            from pinery.indexes.lance_library import lancedb

            lancedb()
    return search(corpus, query)


@command(click.option("--yes", is_flag=True, help="Do it; without it the rows are only counted."))
def remove(config: str, overrides: tuple[str, ...], *, yes: bool) -> Any:
    """Delete the corpus' namespace from its index; the index and the checkpoint stay."""
    from flows.cli.launch import open_corpus
    from flows.progress import current_progress, on_terminal
    from pinery.steps.remove import remove

    corpus = open_corpus(config, overrides)
    with on_terminal():
        return remove(corpus, really=yes, progress=current_progress())


@command(
    click.option(
        "--cron", metavar="CRON", help='When to run it, such as "30 3 * * *"; default: leave schedules alone.'
    ),
    click.option("--timezone", default="UTC", show_default=True, help="The time zone of --cron."),
    click.option("--pool", default="process", show_default=True, help="The work pool whose workers run it."),
    click.option("--name", help="The deployment's name. Default: corpus-CORPUS."),
)
def deploy(config: str, overrides: tuple[str, ...], **flags: Any) -> dict[str, Any]:
    """Register CONFIG's run as a deployment with the Prefect server at PREFECT_API_URL, and schedule it."""
    from flows.cli.launch import deploy

    return deploy(config, overrides, flags)


@main.command(epilog=examples("init"))
@click.argument("where", metavar="FOLDER-OR-S3")
@click.option("--out", metavar="FILE", help="The config to write. Default: CORPUS.yaml, here.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@AS_JSON
def init(where: str, out: str | None, force: bool, as_json: bool) -> None:
    """Write a first config for a folder of images or an s3:// address; it runs as it stands."""

    def propose() -> Any:
        from pinery.steps.propose_config import propose_config

        return propose_config(where, out, force=force)

    end(lambda: print_result("init", propose, as_json), as_json)


@command()
def doctor(config: str, overrides: tuple[str, ...]) -> Any:
    """Check all that a run needs, from the config to Prefect; changes nothing, and ends with 1 where one is wrong."""
    from flows.cli.launch import diagnose

    return diagnose(config, overrides)


@command()
def status(config: str, overrides: tuple[str, ...]) -> Any:
    """Show the last run, the live index, and what is quarantined or rejected, with reasons."""
    from flows.cli.launch import open_corpus
    from pinery.steps.status import status

    return status(open_corpus(config, overrides))


@command(click.argument("run", required=False), click.argument("other", required=False))
def runs(config: str, overrides: tuple[str, ...], *, run: str | None, other: str | None) -> Any:
    """Show the last runs, the newest first, and how they compare; with RUN and OTHER, what differs between these two.

    RUN and OTHER may be cut to the beginning or the end of a run's name. A run's pace is compared with the median of
    the last seven completed ones of its size, its amount with the median of the last seven.
    """
    from pinery.config_file import load_config
    from pinery.steps.history import compare_runs, history

    settings = load_config(config, overrides)
    if run is None:
        return history(settings)
    if other is None:
        raise ConfigError(f"to compare {run}, name another run after it; `pinery runs CONFIG` lists them")
    return compare_runs(settings, run, other)


@command(
    click.option("--grid", metavar="OUT.png", type=click.Path(dir_okay=False), help="Default: show-CORPUS.png."),
    click.option("--count", type=click.IntRange(1, 400), default=25, show_default=True),
    click.option("--seed", type=int, default=0, show_default=True),
)
def show(config: str, overrides: tuple[str, ...], *, grid: str | None, count: int, seed: int) -> dict[str, Any]:
    """Draw a random sample of the corpus as a picture."""
    from flows.cli.launch import open_corpus
    from pinery.search.show import show

    return show(open_corpus(config, overrides), grid, count, seed)


@main.command(epilog=examples("models"))
@AS_JSON
def models(as_json: bool) -> None:
    """List the model families."""

    def families() -> dict[str, Any]:
        from pinery.models.registry import FAMILIES

        return {"models": [asdict(family) for family in FAMILIES]}

    end(lambda: print_result("models", families, as_json), as_json)


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


from flows.cli import prune_command as _prune  # noqa: E402, F401  # they add their commands after these
from flows.cli import serve_command as _serve  # noqa: E402, F401
from flows.cli import target_commands as _  # noqa: E402, F401
