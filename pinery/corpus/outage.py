"""Requests of a run to its index: each is repeated through an outage, and none is sent without the lease."""

import time
from collections.abc import Callable

from pinery.corpus.run import HeldTarget
from pinery.errors import TransientError
from pinery.indexes.engine import Patience, Result, with_patience

SETTLE_SECONDS = 60.0
"""The least seconds to wait for an index that shows writes late, however short `upsert.outage_patience` is."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""The seconds between two looks at such an index."""


def retry_through_outage(held: HeldTarget, action: Callable[[], Result]) -> Result:
    """Call `action`, a request to the target's index, again and again while an outage lasts; return its result."""
    return with_patience(action, f"index {held.target.name}", patience(held))


def patience(held: HeldTarget) -> Patience:
    """Return how long and in which way the run waits out an outage of this index."""
    run = held.run
    seconds = held.target.config.upsert.outage_patience
    return Patience(seconds, held.check, run.pause, run.note, held.writing, run.count)


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
