"""Requests of a run to its index: each repeated through an outage, none sent without the lease."""

from __future__ import annotations

import time
from collections.abc import Callable

from pinery.errors import TransientError
from pinery.indexes.engine import Patience, Result, with_patience
from pinery.steps.run import Run

SETTLE_SECONDS = 60.0
"""How long is waited for an index that shows writes late, however little patience there is with one that is away."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds between two looks at such an index."""


def outlast(run: Run, action: Callable[[], Result]) -> Result:
    """Ask or tell the run's index something, through an outage if need be; return what it says."""
    return with_patience(action, f"index {run.corpus.index_name}", patience(run))


def patience(run: Run) -> Patience:
    """How this run meets an outage of its index."""
    return Patience(run.corpus.config.upsert.outage_patience, run.check, run.pause, run.note, run.writing)


def settle(run: Run) -> None:
    """Wait until the run's writes can be read. Raises TransientError where they still can't after a minute or more."""
    index, seconds = run.corpus.index, max(run.corpus.config.upsert.outage_patience, SETTLE_SECONDS)
    end, pause = time.monotonic() + seconds, FIRST_PAUSE
    while behind := outlast(run, index.settle):
        left = end - time.monotonic()
        if left <= 0:
            raise TransientError(f"index {index.name}: after {seconds:g} s {behind}")
        run.pause(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE)
