"""Prints results on a terminal or as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from flows.cli import (
    shown_checks,
    shown_plan,
    shown_proposal,
    shown_prune,
    shown_run,
    shown_runs,
    shown_status,
    shown_targets,
)
from flows.cli.tables import add as _add
from flows.cli.tables import console as _console
from flows.cli.tables import table as _table
from pinery.reports import Removal, VerifyReport

if TYPE_CHECKING:
    from pinery.search.query import Answer


def comparison(report: VerifyReport) -> None:
    """Print how an index differs from the live rows."""
    counts = report.counts
    table = _table(f"index {report.kind}:{report.index} / {report.namespace} against corpus {report.corpus}")
    for name in ("expected", "held", "missing", "extra", "stale", "wrong", "wrong_metadata"):
        _add(table, name.replace("_", " "), f"{getattr(counts, name):,}")
    if counts.awaited:
        _add(table, "awaited", f"{counts.awaited:,} (not embedded as listed yet; what the index has of them stays)")
    sampled = not report.full and counts.checked < counts.expected - counts.missing - counts.stale
    _add(table, "compared by value", f"{counts.checked:,}{' (a sample; --full compares all)' if sampled else ''}")
    if counts.rounded:
        _add(table, "rounded", f"{counts.rounded:,} vectors are equal only within 1e-6")
    if report.repaired is not None:
        _add(table, "repaired", f"{report.repaired['upserted']:,} upserted, {report.repaired['deleted']:,} deleted")
    if report.differences:
        _add(table, "ids that differ", report.differences)
    _console().print(table)


def removal(data: Removal) -> None:
    """Print the rows that were removed, or would be."""
    where = f"namespace {data.namespace} of index {data.kind}:{data.index} ({data.rows:,} rows)"
    if data.removed:
        click.echo(f"Deleted {where}. The checkpoint stays: `pinery upsert CONFIG` fills it again without a model.")
    else:
        click.echo(f"Would delete {where}; nothing was changed. --yes does it.")


def matches(answer: Answer) -> None:
    """Print the matches of a search."""
    table = Table(box=None, pad_edge=False)
    known = any(hit.strength is not None for hit in answer.hits)
    for name in ("score", *(["nearer than"] if known else []), "label", "id", "uri"):
        table.add_column(name, overflow="fold")
    for hit in answer.hits:
        meaning = [_share(hit.strength)] if known else []
        _add(table, f"{hit.score:.4f}", *meaning, str(hit.metadata.get("label", "")), hit.id, hit.uri)
    _console().print(table)
    if not answer.hits:
        click.echo("no item matches")
    if answer.hits.strong is False:
        share = 100 * (answer.hits.strong_from or 0)
        click.echo(f"no strong match: none is nearer than {share:g} % of random pairs of the corpus' images")
    if answer.grid:
        click.echo(f"picture: {answer.grid}")


def _share(strength: float | None) -> str:
    """Return a share of random pairs in words; it is rounded down, for only a score above all is nearer than all."""
    if strength is None or strength == 1:
        return "" if strength is None else "all pairs"
    digits = 1 if strength < 0.99 else 2 if strength < 0.999 else 3
    return f"{math.floor(strength * 10 ** (2 + digits) + 1e-6) / 10**digits:.{digits}f} %"


def deployment(data: dict[str, Any]) -> None:
    """Print what was registered, and what to do next."""
    name, pool = data["deployment"], data["pool"]
    click.echo(f"Registered {name} with {data['api']}, for the work pool {pool}.")
    for one in data["schedules"]:
        paused = "" if one["active"] else f"; it is paused, `prefect deployment schedule ls {name}` lists it"
        click.echo(f"Scheduled: {one['cron']} {one['timezone']}{paused}.")
    if not data["schedules"]:
        click.echo('It has no schedule yet; --cron "30 3 * * *" gives it one.')
    automations(data["automations"])
    click.echo(f"Run it now: prefect deployment run '{name}'. Workers run it: prefect worker start --pool {pool}")


def automations(done: Mapping[str, str]) -> None:
    """Print what was done about each of Prefect's automations."""
    for name, what in done.items():
        click.echo(f"Automation {name!r}: {what}.")


def sample(data: dict[str, Any]) -> None:
    """Print the path of the sample's picture."""
    click.echo(f"picture of {len(data['items'])} items: {Path(data['grid'])}")


def models(data: dict[str, Any]) -> None:
    """Print the model families."""
    for family in data["models"]:
        table = _table(family["reference"])
        for name in ("dimension", "text", "licence", "preprocessing", "download"):
            value = family[name]
            _add(table, name, str(value) if isinstance(value, str) else "yes" if value else "no")
        _console().print(table)


PRINTERS: dict[str, Callable[[Any], None]] = {
    "run": shown_run.run,
    "plan": shown_plan.preview,
    "upsert": shown_run.run,
    "verify": comparison,
    "backfill": shown_run.run,
    "promote": shown_targets.promotion,
    "rollback": shown_targets.promotion,
    "search": matches,
    "remove": removal,
    "prune": shown_prune.pruning,
    "deploy": deployment,
    "init": shown_proposal.proposal,
    "doctor": shown_checks.diagnosis,
    "status": shown_status.status,
    "runs": shown_runs.runs,
    "show": sample,
    "models": models,
}
"""The function that prints the result of each command on a terminal."""


def show(command: str, result: Any, as_json: bool) -> None:
    """Print the result of a command, which has a `to_dict` or is what `--json` prints."""
    if as_json:
        click.echo(json.dumps(result if isinstance(result, dict) else result.to_dict(), default=str))
    else:
        PRINTERS[command](result)
