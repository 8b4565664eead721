"""Requests of a run to its index: each repeated through an outage, none sent without the lease."""

from __future__ import annotations

from collections.abc import Callable

from pinery.indexes.engine import Patience, Result, with_patience
from pinery.steps.run import Run

SETTLE_SECONDS = 60.0
"""How long is waited for an index that shows writes late, however little patience there is with one that is away."""


def outlast(run: Run, action: Callable[[], Result]) -> Result:
    """Ask or tell the run's index something, through an outage if need be; return what it says."""
    return with_patience(action, f"index {run.corpus.index_name}", patience(run))


def patience(run: Run) -> Patience:
    """How this run meets an outage of its index."""
    return Patience(run.corpus.config.upsert.outage_patience, run.check, run.pause, run.note, run.writing)


def settle(run: Run) -> None:
    """Wait until the run's writes can be read. Raises TransientError where they still can't after a minute or more."""
    seconds = max(run.corpus.config.upsert.outage_patience, SETTLE_SECONDS)
    outlast(run, lambda: run.corpus.index.settle(seconds))
