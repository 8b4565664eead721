"""Marks: each run that writes to an index leaves one there first, so that a state that is behind is noticed.

A state was copied, or restored from a backup: then two states have one id, and a lease in each. An index therefore
holds the mark of the newest run that wrote to it, and its state those that it may hold. Any other mark is another
state's, and this state's ledger doesn't know what that one wrote.
"""

import uuid
from dataclasses import replace
from functools import partial

from pinery.corpus.outage import retry_through_outage
from pinery.corpus.run import HeldTarget
from pinery.corpus.target import Target
from pinery.errors import RefusedError, TerminalError


def why_behind(target: Target, mark: str | None) -> str:
    """Return why an index with that mark is ahead of this state; empty if it isn't, or if it was never marked."""
    recorded = target.recorded()
    marks = recorded.marks if recorded else ()
    if mark is None or mark in marks:
        return ""
    newest = f"lease epoch {_epoch(marks[0])}" if marks else "none"
    return (
        f"index {target.name} was last written by another copy of this state, under lease epoch {_epoch(mark)};"
        f" the last that {target.store.root} knows of is {newest}. This state was copied or restored from a backup,"
        " and its ledger doesn't know what the index holds"
    )


def refuse_behind(held: HeldTarget) -> None:
    """Raise RefusedError if the index is ahead of this state."""
    if held.behind:
        raise RefusedError(
            f"{held.behind}. Nothing was written. If the other state is the right one, run with that, and give this one"
            " an index of its own (index.name). If this state is the right one from now on, `pinery verify CONFIG"
            " --full --repair` makes the index what this state says; the other is refused from then on"
        )


def claim_index(held: HeldTarget) -> None:
    """Leave this run's mark in the index, before the first write there; later calls do nothing.

    Raises RefusedError where another copy of the state left one since the run looked.
    """
    if held.mark:
        return
    target, index = held.target, held.index
    found, recorded = retry_through_outage(held, index.read_mark), target.recorded()
    if not held.behind:
        held.behind = why_behind(target, found)
        refuse_behind(held)
    mark = f"{held.lease.epoch}-{uuid.uuid4().hex[:8]}"
    assert recorded is not None, "an index is remembered before it is written to"
    # The state first: a mark that the state doesn't know would be taken for another's.
    with held.writing():
        target.record(replace(recorded, marks=(mark, *_possible(recorded.marks, found))))
    if not retry_through_outage(held, partial(index.leave_mark, mark)):
        held.run.note(
            f"index {target.name} has no room for another tag, so that a copy of this state that writes to it would"
            " not be noticed"
        )
    held.mark, held.behind = mark, ""


def check_mark(held: HeldTarget) -> None:
    """Raise TerminalError if another copy of the state wrote to the index beside this run."""
    found = retry_through_outage(held, held.index.read_mark) if held.mark else None
    if found is not None and found != held.mark:
        raise TerminalError(
            f"another copy of this state wrote to index {held.target.name} beside this run, under lease epoch"
            f" {_epoch(found)}. Decide which of the two goes on; there, `pinery verify CONFIG --full --repair` makes"
            " the index what it should be"
        )


def _possible(marks: tuple[str, ...], found: str | None) -> tuple[str, ...]:
    """Return the marks that an index with the mark `found` may yet show: that one, and newer ones on their way."""
    if found is None:
        return marks
    return marks[: marks.index(found) + 1] if found in marks else (found,)


def _epoch(mark: str) -> str:
    return mark.partition("-")[0]
