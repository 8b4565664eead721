"""Requests of a run to its index: each repeated through an outage, none sent without the lease."""

from __future__ import annotations

from collections.abc import Callable

from pinery.indexes.engine import Patience, Result, with_patience
from pinery.steps.run import Run


def outlast(run: Run, action: Callable[[], Result]) -> Result:
    """Ask or tell the run's index something, through an outage if need be; return what it says."""
    return with_patience(action, f"index {run.corpus.index_name}", patience(run))


def patience(run: Run) -> Patience:
    """How this run meets an outage of its index."""
    return Patience(run.corpus.config.upsert.outage_patience, run.check, run.pause, run.note, run.writing)
