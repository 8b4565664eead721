"""Requests of a run to its index: each repeated through an outage, none sent without the lease."""

from __future__ import annotations

import time
from collections.abc import Callable

from pinery.corpus.run import HeldTarget
from pinery.errors import TransientError
from pinery.indexes.engine import Patience, Result, with_patience

SETTLE_SECONDS = 60.0
"""How long is waited for an index that shows writes late, however little patience there is with one that is away."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds between two looks at such an index."""


def retry_through_outage(held: HeldTarget, action: Callable[[], Result]) -> Result:
    """Ask or tell the target's index something, through an outage if need be; return what it says."""
    return with_patience(action, f"index {held.target.name}", patience(held))


def patience(held: HeldTarget) -> Patience:
    """How the run meets an outage of this index."""
    run = held.run
    return Patience(held.target.config.upsert.outage_patience, held.check, run.pause, run.note, held.writing)


def settle(held: HeldTarget) -> None:
    """Wait until the run's writes can be read. Raises TransientError where they still can't after a minute or more."""
    index, seconds = held.index, max(held.target.config.upsert.outage_patience, SETTLE_SECONDS)
    end, pause = time.monotonic() + seconds, FIRST_PAUSE
    while behind := retry_through_outage(held, index.settle):
        left = end - time.monotonic()
        if left <= 0:
            raise TransientError(f"index {index.name}: after {seconds:g} s {behind}")
        held.run.pause(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE)
