"""The flow `upsert`: the index from listing and checkpoint alone; no model is loaded and no image is read.

This module must not import annotations from __future__: Prefect resolves a served flow's parameters at run time.
"""

from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.bring import LANES, bring_index
from flows.progress import current_progress
from flows.secrets import provide_secrets
from pinery.config_file import load_config
from pinery.steps.corpus import Corpus
from pinery.steps.make_plan import PlanOptions, checkpointed_only
from pinery.steps.report import reported
from pinery.steps.run import open_run
from pinery.steps.stored import copy_current_listing
from tasks.find_index import find_index
from tasks.make_plan import make_plan
from tasks.resume_import import resume_import


@flow(name="upsert", task_runner=ThreadPoolTaskRunner(max_workers=LANES), persist_result=False)
def upsert(
    config: str | dict[str, Any], index: str | None = None, allow_deletes: bool = False, wait: bool = False
) -> dict[str, Any]:
    """Bring an index to the live rows: the current listing's items that the checkpoint has vectors of.

    Args:
        config: The path of a config file, or an inline config with absolute paths.
        index: The index' name; created if absent. Default: the config's.
        allow_deletes: Let a plan pass that deletes more than the delete_guard.
        wait: Wait for another run of the corpus to end, instead of refusing.

    Returns:
        The run's report.
    """
    overrides = [f"index.name={index}"] if index else []
    settings = load_config(config, overrides)
    provide_secrets(settings)
    corpus = Corpus(settings)
    with open_run(corpus, wait=wait, progress=current_progress()) as run, reported(run) as report:
        find_index(run)
        resume_import(run)
        listing = copy_current_listing(corpus, run.scratch)
        options = PlanOptions(allow_deletes=allow_deletes, allow_changes=True)
        plan = checkpointed_only(make_plan(run, listing, options))
        return bring_index(run, plan, options, report, go_live=False)
