"""The flow `backfill` fills a fresh index with another model's vectors beside the live one, and judges it by the gate.

This module must not import annotations from __future__: Prefect resolves a served flow's parameters at run time.
"""

import json
from collections.abc import Mapping
from typing import Any

from prefect import State

from flows.announce import announce
from flows.corpus_flow import flow
from flows.embed_and_upsert import embed_and_upsert
from flows.outcome import Outcome
from flows.plan_page import publish_plan
from flows.progress import current_progress
from flows.secret_blocks import provide_secrets
from pinery.config import Config
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.corpus.run import HeldTarget, Run
from pinery.corpus.target import Target
from pinery.embedding.processes import FirstWorker
from pinery.errors import ConfigError, NotPassedError
from pinery.reports import estimate_lines
from pinery.steps.candidate import candidate_of, newer_listing, note_candidate, say_new_index
from pinery.steps.close_run import close_candidate
from pinery.steps.embed_part import start_early
from pinery.steps.list_items import Listing, copy_current_listing
from pinery.steps.make_plan import PlanOptions
from pinery.steps.promote import PASS, promote_candidate
from pinery.steps.rates import estimate_plan
from pinery.steps.report import Brought, Reporter, reported
from tasks.delete_rows import delete_rows
from tasks.ensure_index import ensure_index
from tasks.find_index import find_index
from tasks.gate import judge_candidate
from tasks.make_plan import make_plan
from tasks.resume_import import resume_import
from tasks.spot_check import spot_check


@flow("backfill")
def backfill(
    config: str | dict[str, Any],
    model: str | dict[str, Any],
    index: str | None = None,
    promote: bool = False,
    wait: bool = False,
) -> dict[str, Any] | State[Any]:
    """Fill a fresh index with the corpus' current listing and another model, and compare it with the live one.

    Args:
        config: The path of a config file, or an inline config with absolute paths.
        model: The new model: a reference such as clip:openai/clip-vit-base-patch32, or settings as under `model:`.
        index: The fresh index' name. Default: one with the model key; needed where the config sets index.name.
        promote: Make the fresh index the live one if it passes the gate; anything else fails the run.
        wait: Wait for another backfill of this model to end, instead of refusing.

    Returns:
        The run's report, with the gate's verdict.
    """
    with Outcome("backfill", config) as outcome:
        settings = candidate_settings(config, model, index)
        provide_secrets(settings)
        corpus = Corpus(settings)
        with (
            open_run(corpus, candidate_of(corpus), wait=wait, progress=current_progress(settings.corpus)) as run,
            reported(run, "backfill") as reporter,
            start_early(run.main) as first,
        ):
            outcome.follow(reporter)
            held = run.main
            find_index(held)
            resume_import(held)
            say_new_index(held)
            note_candidate(held)
            brought, listing = bring_to_newest(held, reporter, copy_current_listing(run), first)
            gate = judge_candidate(live_target(run), held, listing.path)
            note_candidate(held, gate.verdict, listing.name or "")
            brought, listing = catch_up(held, reporter, brought, listing)  # the gate may take as long as a night
            promotion = None
            if promote and gate.verdict == PASS:
                promotion = promote_candidate(held)
            report = close_candidate(run, reporter, brought, gate, promotion is not None)
        if promotion is not None:
            announce(promotion)
        if promote and promotion is None:
            raise NotPassedError(held.target.name, report.to_dict())
    return outcome.end()


def candidate_settings(config: str | dict[str, Any], model: str | Mapping[str, Any], index: str | None) -> Config:
    """Return the config with the new model and its index. Raises ConfigError where the index needs a name."""
    settings = load_config(config)
    if index is None and settings.index.name is not None:
        raise ConfigError(
            f"the config sets index.name to {settings.index.name}, which the live model has: give the new model's index"
            " a name of its own with `index`"
        )
    given = {"name": model} if isinstance(model, str) else dict(model)
    if not isinstance(given.get("name"), str):
        raise ConfigError('the new model has no name; give a reference, or JSON such as {"name": "descriptor"}')
    overrides = [f"model={json.dumps({'name': given['name']})}"]
    overrides += [f"model.{key}={json.dumps(value)}" for key, value in given.items()]
    return load_config(config, overrides if index is None else [*overrides, f"index.name={json.dumps(index)}"])


def live_target(run: Run) -> Target | None:
    """Return the target that is live now, for the candidate to be compared with."""
    live = run.corpus.alias()[0].live
    return run.corpus.open_target(live) if live else None


def bring_to_newest(
    held: HeldTarget, reporter: Reporter, listing: Listing, first: FirstWorker
) -> tuple[Brought, Listing]:
    """Bring the candidate to a listing, and again as long as a night has published a newer one meanwhile."""
    brought = bring(held, reporter, listing, first)
    return catch_up(held, reporter, brought, listing)


def catch_up(held: HeldTarget, reporter: Reporter, brought: Brought, listing: Listing) -> tuple[Brought, Listing]:
    """Bring the candidate to the current listing, if that is another one than it is at by now."""
    while (newer := newer_listing(held.run, listing)) is not None:
        held.run.note("a newer listing was published meanwhile; catching up with it")
        again, listing = bring(held, reporter, newer), newer
        brought = Brought(held, brought.done + again.done, brought.deleted + again.deleted, again.counts)
    return brought, listing


def bring(held: HeldTarget, reporter: Reporter, listing: Listing, first: FirstWorker | None = None) -> Brought:
    """Plan, embed, upsert, delete and check the candidate against one listing."""
    options = PlanOptions(allow_deletes=True, allow_changes=True)  # nobody searches a candidate
    plan = make_plan(held, listing.path, options)
    reporter.passed(plan, listing, None)
    publish_plan(held.target.corpus, {held: plan})
    for line in estimate_lines(estimate_plan(held, plan)):
        held.run.note(line)
    ensure_index(held)
    done = embed_and_upsert(held, plan, listing, None, reporter.attempts, first)
    deleted = delete_rows(held, listing.path, plan, done.rejected, options)
    return Brought(held, done, deleted, spot_check(held, listing.path, None, plan))
