"""The flow `verify`: compare an index with the live rows, and on request bring it back to them.

This module must not import annotations from __future__: Prefect resolves a served flow's parameters at run time.
"""

from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.bring import LANES, bring_index
from flows.progress import current_progress
from flows.secrets import provide_secrets
from pinery.config_file import load_config
from pinery.errors import DifferentError
from pinery.steps.compare import mark_differences
from pinery.steps.corpus import Corpus
from pinery.steps.make_plan import PlanOptions, checkpointed_only
from pinery.steps.marks import claim_index
from pinery.steps.report import publish_comparison, reported
from pinery.steps.run import open_run
from pinery.steps.stored import copy_current_listing, current_listing
from tasks.compare import compare
from tasks.ensure_index import ensure_index
from tasks.find_index import find_index
from tasks.make_plan import make_plan
from tasks.resume_import import resume_import


@flow(name="verify", task_runner=ThreadPoolTaskRunner(max_workers=LANES), persist_result=False)
def verify(
    config: str | dict[str, Any],
    full: bool = False,
    repair: bool = False,
    allow_deletes: bool = False,
    wait: bool = False,
) -> dict[str, Any]:
    """Compare an index with the live rows: every id, and the vectors and metadata of a sample.

    Args:
        config: The path of a config file, or an inline config with absolute paths.
        full: Compare the vectors and metadata of all rows.
        repair: Upsert and delete what differs, and compare again.
        allow_deletes: Let a repair pass that deletes more than the delete_guard.
        wait: Wait for another run of the corpus to end, instead of refusing.

    Returns:
        The counts. Raises DifferentError, which has them too, where a difference remains.
    """
    settings = load_config(config)
    provide_secrets(settings)
    corpus = Corpus(settings)
    with open_run(corpus, wait=wait, progress=current_progress()) as run:
        find_index(run, behind=full or not repair)
        if run.behind:
            run.note(run.behind)
        resume_import(run)
        listing = copy_current_listing(corpus, run.scratch)
        comparison = compare(run, listing, full)
        repaired: dict[str, Any] | None = None
        if repair and (comparison.different or run.behind):
            mark_differences(run, comparison, allow_deletes)
            ensure_index(run)
            claim_index(run)
            with reported(run) as report:
                plan = checkpointed_only(make_plan(run, listing, PlanOptions(allow_deletes=True, allow_changes=True)))
                repaired = bring_index(run, plan, PlanOptions(allow_deletes=True), report, go_live=False)
            comparison = compare(run, current_listing(corpus), full)
        result = publish_comparison(run, comparison, full, repaired)
    if comparison.different:
        raise DifferentError(corpus.index_name, result)
    return result
