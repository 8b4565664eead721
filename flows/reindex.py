"""The flow `reindex`, the main job: find, list, plan, embed, upsert, delete, check, report.

This module must not import annotations from __future__: Prefect resolves a served flow's parameters at run time.
"""

from typing import Any

from prefect import State

from flows.corpus_flow import flow
from flows.embed_and_upsert import embed_and_upsert
from flows.outcome import Outcome
from flows.plan_page import publish_plan
from flows.progress import current_progress
from flows.secret_blocks import provide_secrets
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.corpus.run import unless_kept
from pinery.errors import ConfigError, RefusedError
from pinery.steps.embed_part import start_early
from pinery.steps.make_plan import PlanOptions, planned_totals
from pinery.steps.report import Brought, reported
from pinery.steps.saved_plan import Agreed
from tasks.close_run import close_run
from tasks.delete_rows import delete_rows
from tasks.ensure_index import ensure_index
from tasks.find_index import find_index
from tasks.list_items import list_items
from tasks.make_plan import make_plan
from tasks.publish_listing import publish_listing
from tasks.resume_import import resume_import
from tasks.spot_check import spot_check


@flow("reindex")
def reindex(
    config: str | dict[str, Any],
    limit: int | None = None,
    allow_deletes: bool = False,
    allow_changes: bool = False,
    retry_quarantined: bool = False,
    wait: bool = False,
    plan: str | None = None,
) -> dict[str, Any] | State[Any]:
    """Bring the index of one corpus to the state of its source.

    Args:
        config: The path of a config file, or an inline config with absolute paths.
        limit: Embed and upsert only the first items, per dataset for torchvision; nothing is deleted.
        allow_deletes: Let a plan pass that deletes more than the delete_guard.
        allow_changes: Let a plan pass that changes more than the change_guard.
        retry_quarantined: Try again what could not be embedded.
        wait: Wait for another run of the corpus to end, instead of refusing.
        plan: A plan saved by `pinery plan --out`, as the file's path or its text: the run does just that, or refuses.

    Returns:
        The run's report.
    """
    with Outcome("run", config) as outcome:
        agreed = Agreed(plan, PlanOptions(limit, allow_deletes, allow_changes, retry_quarantined))
        options, limit = agreed.options, agreed.options.limit
        settings = load_config(config)
        provide_secrets(settings)
        corpus = Corpus(settings)
        with (
            open_run(corpus, kept=True, wait=wait, progress=current_progress(settings.corpus)) as run,
            reported(run) as reporter,
            start_early(run.main, limit) as first,
        ):
            outcome.follow(reporter)
            agreed.look(run)
            for held in list(run.targets):
                with unless_kept(held):
                    find_index(held)
                    resume_import(held)
            listing, plans = list_items(run), {}
            for held in list(run.targets):
                with unless_kept(held, but=(RefusedError, ConfigError)):
                    plans[held] = make_plan(held, listing.path, options)
            agreed.refuse_moved(run, listing.path, plans)
            run.expect(planned_totals(plans))
            publish_plan(settings.corpus, plans, limit)
            listing = publish_listing(run, listing)
            reporter.passed(plans[run.main], listing, limit)
            brought = []
            for held, work in plans.items():
                with unless_kept(held):
                    ensure_index(held)
                    done = embed_and_upsert(held, work, listing, limit, reporter.attempts_of(held), first)
                    deleted = delete_rows(held, listing.path, work, done.rejected, options)
                    counts = spot_check(held, listing.path, limit, work)
                    brought.append(Brought(held, done, deleted, counts))
            close_run(run, reporter, brought, may_replace=True)
    return outcome.end()
