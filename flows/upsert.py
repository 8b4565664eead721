"""The flow `upsert` fills an index from listing and checkpoint alone; it loads no model and reads no image.

This module must not import annotations from __future__: Prefect resolves a served flow's parameters at run time.
"""

import json
from typing import Any

from prefect import State

from flows.corpus_flow import flow
from flows.embed_and_upsert import embed_and_upsert
from flows.outcome import Outcome
from flows.progress import current_progress
from flows.secret_blocks import provide_secrets
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.corpus.run import HeldTarget
from pinery.reports import RunReport
from pinery.steps.list_items import Listing, copy_current_listing
from pinery.steps.make_plan import PlanOptions, checkpointed_only
from pinery.steps.report import Brought, Reporter, reported
from tasks.close_run import close_run
from tasks.delete_rows import delete_rows
from tasks.ensure_index import ensure_index
from tasks.find_index import find_index
from tasks.make_plan import make_plan
from tasks.publish_listing import publish_listing
from tasks.resume_import import resume_import
from tasks.spot_check import spot_check


@flow("upsert")
def upsert(
    config: str | dict[str, Any], index: str | None = None, allow_deletes: bool = False, wait: bool = False
) -> dict[str, Any] | State[Any]:
    """Bring an index to the live rows: the current listing's items that the checkpoint has vectors of.

    Args:
        config: The path of a config file, or an inline config with absolute paths.
        index: The index' name; created if absent. Default: the config's.
        allow_deletes: Let a plan pass that deletes more than the delete_guard.
        wait: Wait for another run of the corpus to end, instead of refusing.

    Returns:
        The run's report.
    """
    with Outcome("upsert", config) as outcome:
        options = PlanOptions(allow_deletes=allow_deletes, allow_changes=True)
        # As JSON, for the name 2024 is a text and no number, and null is a name too.
        settings = load_config(config, [] if index is None else [f"index.name={json.dumps(index)}"])
        provide_secrets(settings)
        with (
            open_run(Corpus(settings), wait=wait, progress=current_progress(settings.corpus)) as run,
            reported(run, "upsert") as reporter,
        ):
            outcome.follow(reporter)
            held = run.main
            find_index(held)
            resume_import(held)
            upsert_live_rows(held, copy_current_listing(run), options, reporter)
    return outcome.end()


def upsert_live_rows(held: HeldTarget, listing: Listing, options: PlanOptions, reporter: Reporter) -> RunReport:
    """Plan, upsert, delete, check and close, with what the checkpoint has; return the finished report."""
    run = held.run
    plan = checkpointed_only(make_plan(held, listing.path, options))
    listing = publish_listing(run, listing)
    reporter.passed(plan, listing, None)
    ensure_index(held)
    done = embed_and_upsert(held, plan, listing, None, reporter.attempts)
    deleted = delete_rows(held, listing.path, plan, done.rejected, options)
    counts = spot_check(held, listing.path, None, plan)
    return close_run(run, reporter, [Brought(held, done, deleted, counts)], may_replace=False)
