"""The flow `upsert`: the index from listing and checkpoint alone; no model is loaded and no image is read.

This module must not import annotations from __future__: Prefect resolves a served flow's parameters at run time.
"""

import json
from typing import Any

from flows.bring import bring_index
from flows.corpus_flow import flow
from flows.outcome import Outcome
from flows.progress import current_progress
from flows.secret_blocks import provide_secrets
from pinery.config_file import load_config
from pinery.steps.corpus import Corpus
from pinery.steps.make_plan import PlanOptions, checkpointed_only
from pinery.steps.report import reported
from pinery.steps.run import open_run
from pinery.steps.stored import copy_current_listing
from tasks.find_index import find_index
from tasks.make_plan import make_plan
from tasks.resume_import import resume_import


@flow("upsert")
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
    with Outcome("upsert", config) as outcome:
        # As JSON, for the name 2024 is a text and no number, and null is a name too.
        settings = load_config(config, [] if index is None else [f"index.name={json.dumps(index)}"])
        provide_secrets(settings)
        corpus = Corpus(settings)
        with open_run(corpus, wait=wait, progress=current_progress()) as run, reported(run) as report:
            outcome.report = report
            find_index(run)
            resume_import(run)
            listing = copy_current_listing(corpus, run.scratch)
            options = PlanOptions(allow_deletes=allow_deletes, allow_changes=True)
            plan = checkpointed_only(make_plan(run, listing, options))
            bring_index(run, plan, options, report, go_live=False)
    return outcome.end()
