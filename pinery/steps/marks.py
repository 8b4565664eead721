"""Marks: each run that writes to an index leaves one there first, so that a state that is behind is noticed.

A state was copied, or restored from a backup: then two states have one id, and a lease in each. An index therefore
holds the mark of the newest run that wrote to it, and its state those that it may hold. Any other mark is another
state's, and this state's ledger doesn't know what that one wrote.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, replace
from functools import partial

from pinery.checkpoint.damage import parsing
from pinery.errors import RefusedError, TerminalError
from pinery.steps.corpus import Corpus
from pinery.steps.outage import outlast
from pinery.steps.run import Run


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the state remembers of an index; the ledger's entries of epochs before `first_epoch` are void."""

    incarnation: str
    first_epoch: int
    marks: tuple[str, ...] = ()
    """The marks that the index may hold, newest first: more than one after a run that died before it left its own."""


def read_recorded(corpus: Corpus) -> Recorded | None:
    """What the state remembers of the config's index."""
    found = corpus.store.read(corpus.index_paths.identity)
    if found is None:
        return None
    with parsing(f"{corpus.store.root}/{corpus.index_paths.identity}", "identity"):
        data = json.loads(found[0])
        return Recorded(**data | {"marks": tuple(data.get("marks", ()))})


def write_recorded(corpus: Corpus, recorded: Recorded) -> None:
    """Remember that of the config's index."""
    corpus.store.write(corpus.index_paths.identity, json.dumps(asdict(recorded)).encode())


def why_behind(corpus: Corpus, mark: str | None) -> str:
    """Why an index with that mark is ahead of this state; empty if it isn't, or if it was never marked."""
    recorded = read_recorded(corpus)
    marks = recorded.marks if recorded else ()
    if mark is None or mark in marks:
        return ""
    newest = f"lease epoch {_epoch(marks[0])}" if marks else "none"
    return (
        f"index {corpus.index_name} was last written by another copy of this state, under lease epoch {_epoch(mark)};"
        f" the last that {corpus.store.root} knows of is {newest}. This state was copied or restored from a backup,"
        " and its ledger doesn't know what the index holds"
    )


def refuse_behind(run: Run) -> None:
    """Raise RefusedError if the run's index is ahead of this state."""
    if run.behind:
        raise RefusedError(
            f"{run.behind}. Nothing was written. If the other state is the right one, run with that, and give this one"
            " an index of its own (index.name). If this state is the right one from now on, `pinery verify CONFIG"
            " --full --repair` makes the index what this state says; the other is refused from then on"
        )


def claim_index(run: Run) -> None:
    """Leave this run's mark in its index, before the first write there; later calls do nothing.

    Raises RefusedError where another copy of the state left one since the run looked.
    """
    if run.mark:
        return
    corpus = run.corpus
    found, recorded = outlast(run, corpus.index.read_mark), read_recorded(corpus)
    if not run.behind:
        run.behind = why_behind(corpus, found)
        refuse_behind(run)
    mark = f"{run.lease.epoch}-{uuid.uuid4().hex[:8]}"
    assert recorded is not None, "an index is remembered before it is written to"
    # The state first: a mark that the state doesn't know would be taken for another's.
    with run.writing():
        write_recorded(corpus, replace(recorded, marks=(mark, *_possible(recorded.marks, found))))
    if not outlast(run, partial(corpus.index.leave_mark, mark)):
        run.note(
            f"index {corpus.index_name} has no room for another tag, so that a copy of this state that writes to it"
            " would not be noticed"
        )
    run.mark, run.behind = mark, ""


def check_mark(run: Run) -> None:
    """Raise TerminalError if another copy of the state wrote to the index beside this run."""
    found = outlast(run, run.corpus.index.read_mark) if run.mark else None
    if found is not None and found != run.mark:
        raise TerminalError(
            f"another copy of this state wrote to index {run.corpus.index_name} beside this run, under lease epoch"
            f" {_epoch(found)}. Decide which of the two goes on; there, `pinery verify CONFIG --full --repair` makes"
            " the index what it should be"
        )


def _possible(marks: tuple[str, ...], found: str | None) -> tuple[str, ...]:
    """What an index with the mark `found` may still be seen with: that, or a newer one that was on its way to it."""
    if found is None:
        return marks
    return marks[: marks.index(found) + 1] if found in marks else (found,)


def _epoch(mark: str) -> str:
    return mark.partition("-")[0]
