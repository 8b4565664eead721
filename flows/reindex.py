"""The flow `reindex`: list, plan, embed, upsert, delete, verify. The main job.

This module must not import annotations from __future__: Prefect resolves a served flow's parameters at run time.
"""

from typing import Any

from flows.bring import bring_index
from flows.corpus_flow import flow
from flows.outcome import Outcome
from flows.progress import current_progress
from flows.secret_blocks import provide_secrets
from pinery.config_file import load_config
from pinery.steps.corpus import Corpus
from pinery.steps.make_plan import PlanOptions
from pinery.steps.report import reported
from pinery.steps.run import open_run
from tasks.find_index import find_index
from tasks.list_items import list_items
from tasks.make_plan import make_plan
from tasks.resume_import import resume_import


@flow("reindex")
def reindex(
    config: str | dict[str, Any],
    limit: int | None = None,
    allow_deletes: bool = False,
    allow_changes: bool = False,
    retry_quarantined: bool = False,
    wait: bool = False,
) -> dict[str, Any]:
    """Bring the index of one corpus to the state of its source.

    Args:
        config: The path of a config file, or an inline config with absolute paths.
        limit: Embed and upsert only the first items, per dataset for torchvision; nothing is deleted.
        allow_deletes: Let a plan pass that deletes more than the delete_guard.
        allow_changes: Let a plan pass that changes more than the change_guard.
        retry_quarantined: Try again what could not be embedded.
        wait: Wait for another run of the corpus to end, instead of refusing.

    Returns:
        The run's report.
    """
    with Outcome("run", config) as outcome:
        options = PlanOptions(limit, allow_deletes, allow_changes, retry_quarantined)
        settings = load_config(config)
        provide_secrets(settings)
        with open_run(Corpus(settings), wait=wait, progress=current_progress()) as run, reported(run) as report:
            outcome.report = report
            find_index(run)
            resume_import(run)
            listing = list_items(run)
            plan = make_plan(run, listing, options)
            bring_index(run, plan, options, report, go_live=True)
    return outcome.end()
