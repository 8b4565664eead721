"""The flow `verify` compares an index with the live rows, and on request brings it back to them.

This module must not import annotations from __future__: Prefect resolves a served flow's parameters at run time.
"""

from collections.abc import Mapping
from typing import Any

from prefect import State

from flows.corpus_flow import flow
from flows.outcome import Outcome
from flows.progress import current_progress
from flows.secret_blocks import provide_secrets
from flows.upsert import upsert_live_rows
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.corpus.run import HeldTarget
from pinery.corpus.stored import current_listing
from pinery.errors import DifferentError
from pinery.steps.compare import Compared, mark_differences, publish_comparison
from pinery.steps.list_items import Listing, copy_current_listing
from pinery.steps.make_plan import PlanOptions
from pinery.steps.marks import claim_index
from pinery.steps.report import reported
from tasks.compare import compare
from tasks.ensure_index import ensure_index
from tasks.find_index import find_index
from tasks.resume_import import resume_import


@flow("verify")
def verify(
    config: str | dict[str, Any],
    full: bool = False,
    repair: bool = False,
    allow_deletes: bool = False,
    wait: bool = False,
) -> dict[str, Any] | State[Any]:
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
        with open_run(corpus, wait=wait, progress=current_progress(settings.corpus)) as run:
            held, repaired = run.main, None
            outcome.report = {"run": run.name, "corpus": settings.corpus, "index": held.target.name}
            find_index(held, behind=full or not repair)
            if held.behind:
                run.note(held.behind)
            resume_import(held)
            listing = copy_current_listing(run)
            compared = compare(held, listing.path, full)
            if repair and (compared.counts.different or held.behind):
                repaired = repair_index(held, listing, compared, allow_deletes)
                compared = compare(held, current_listing(corpus), full)
            report = publish_comparison(held, compared, full, repaired)
            outcome.report = report.to_dict()
        if compared.counts.different:
            raise DifferentError(report.index, report.to_dict())
    return outcome.end()


def repair_index(held: HeldTarget, listing: Listing, compared: Compared, allow_deletes: bool) -> Mapping[str, int]:
    """Upsert and delete what differs or is in doubt; return how many rows of each."""
    options = PlanOptions(allow_deletes=True, allow_changes=True)
    mark_differences(held, compared, allow_deletes)
    ensure_index(held)
    claim_index(held)
    with reported(held.run, "verify") as reporter:
        report = upsert_live_rows(held, listing, options, reporter)
    return {"upserted": report.upserted or 0, "deleted": report.deleted or 0}
