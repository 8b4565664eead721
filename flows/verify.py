"""The flow `verify`: compare an index with the live rows, and on request bring it back to them.

This module must not import annotations from __future__: Prefect resolves a served flow's parameters at run time.
"""

from pathlib import Path
from typing import Any

from flows.bring import bring_index
from flows.corpus_flow import flow
from flows.outcome import Outcome
from flows.progress import current_progress
from flows.secret_blocks import provide_secrets
from pinery.config_file import load_config
from pinery.errors import DifferentError
from pinery.steps.compare import mark_differences
from pinery.steps.corpus import Corpus
from pinery.steps.make_plan import PlanOptions, checkpointed_only
from pinery.steps.marks import claim_index
from pinery.steps.report import publish_comparison, reported
from pinery.steps.run import Run, open_run
from pinery.steps.stored import copy_current_listing, current_listing
from tasks.compare import compare
from tasks.ensure_index import ensure_index
from tasks.find_index import find_index
from tasks.make_plan import make_plan
from tasks.resume_import import resume_import


@flow("verify")
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
    with Outcome("verify", config) as outcome:
        settings = load_config(config)
        provide_secrets(settings)
        corpus = Corpus(settings)
        with open_run(corpus, wait=wait, progress=current_progress()) as run:
            outcome.report = {"run": run.name, "corpus": settings.corpus, "index": corpus.index_name}
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
                repaired = mend(run, listing)
                comparison = compare(run, current_listing(corpus), full)
            outcome.report = publish_comparison(run, comparison, full, repaired)
        if comparison.different:
            raise DifferentError(corpus.index_name, outcome.report)
    return outcome.end()


def mend(run: Run, listing: Path) -> dict[str, Any]:
    """Upsert and delete what is in doubt, and return the report of that."""
    allowed = PlanOptions(allow_deletes=True, allow_changes=True)
    with reported(run) as report:
        plan = checkpointed_only(make_plan(run, listing, allowed))
        return bring_index(run, plan, PlanOptions(allow_deletes=True), report, go_live=False)
