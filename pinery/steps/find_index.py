"""Finds the index of a target by its identity before anything is embedded; creates it after the guards."""

import json
import uuid
from dataclasses import asdict
from functools import partial

from pinery.checkpoint.root import folder_name
from pinery.corpus.corpus import Corpus
from pinery.corpus.outage import retry_through_outage
from pinery.corpus.run import HeldTarget
from pinery.corpus.target import Recorded, Target
from pinery.errors import ConflictError, IndexMismatchError, TransientError
from pinery.parquet.damage import parsing
from pinery.records import Identity
from pinery.steps.doubts import doubt_all, doubt_last_window
from pinery.steps.marks import refuse_behind, why_behind


def find_index(held: HeldTarget, *, behind: bool = False) -> None:
    """Look the index up and decide whether the ledger speaks of it; nothing is created.

    Raises IndexMismatchError where the index has another dimension, metric, owner or model, or where its namespace
    belongs to another corpus; RefusedError where another copy of this state wrote to it, unless `behind` is allowed.
    """
    target = held.target
    found = retry_through_outage(held, held.index.describe)
    refuse_foreign(held.run.corpus, target, found)
    refuse_owned(target)
    held.behind = why_behind(target, retry_through_outage(held, held.index.read_mark)) if found else ""
    if not behind:
        refuse_behind(held)
    held.identify(found)
    doubt_last_window(held)
    if held.ledger.files() and retry_through_outage(held, held.index.count) == 0:
        # Emptied by somebody, or not yet showing what was written: to be in doubt of every row is right for both.
        held.run.note(f"namespace {target.entry.namespace} of index {target.name} is empty against a full ledger")
        doubt_all(held)


def ensure_index(held: HeldTarget) -> None:
    """Create the index if it is absent, wait until it is ready, and remember which one it is."""
    target, corpus = held.target, held.run.corpus
    held.check()
    _claim(target)
    target.store.write(corpus.paths.card(target.card.key), json.dumps(asdict(target.card), indent=2).encode())
    wanted = Identity(corpus.state_id, uuid.uuid4().hex, target.card.key)
    found = retry_through_outage(held, partial(held.index.ensure, wanted))
    refuse_foreign(corpus, target, found)
    if held.identity is None or held.identity.incarnation != found.incarnation:
        held.identify(found)
    # Until here, what was entered in this run counts by the ledger alone.
    before = target.recorded()
    marks = before.marks if before and before.incarnation == found.incarnation else ()
    recorded = Recorded(found.incarnation, held.ledger.first_epoch, marks)
    if recorded != before:
        held.check()
        target.record(recorded)


def refuse_foreign(corpus: Corpus, target: Target, found: Identity | None) -> None:
    """Raise IndexMismatchError where the index belongs to another state or another model."""
    if found is None:
        return
    if found.state != corpus.state_id:
        raise IndexMismatchError(
            f"index {target.name} belongs to state {found.state}; this state is {corpus.state_id}"
            f" ({corpus.store.root}). Set index.name or index.prefix to another name"
        )
    if found.model_key != target.card.key:
        raise IndexMismatchError(
            f"index {target.name} holds vectors of model key {found.model_key};"
            f" the config's model {target.card.name} has {target.card.key}. Set index.name to another name"
        )


def refuse_owned(target: Target) -> None:
    """Raise IndexMismatchError where the namespace belongs to another corpus."""
    owner = owner_of(target)
    if owner not in (None, target.corpus):
        raise IndexMismatchError(
            f"namespace {target.entry.namespace!r} of index {target.name} belongs to corpus {owner};"
            " set `namespace` to another name"
        )


def release_namespace(target: Target) -> None:
    """Let another corpus have the namespace."""
    target.store.delete(_owner_file(target))


def _owner_file(target: Target) -> str:
    entry = target.entry
    return f"owners/{entry.kind}/{entry.name}/{folder_name(entry.namespace)}.json"


def owner_of(target: Target) -> str | None:
    """Return the corpus that the target's namespace belongs to, or None. Raises DamagedError."""
    found = target.store.read(_owner_file(target))
    with parsing(f"{target.store.root}/{_owner_file(target)}", "owners"):
        return str(json.loads(found[0])["corpus"]) if found else None


def _claim(target: Target) -> None:
    if owner_of(target) is None:
        try:
            target.store.replace(_owner_file(target), json.dumps({"corpus": target.corpus}).encode(), None)
        except (ConflictError, TransientError):
            if owner_of(target) is None:
                raise
    # Another corpus may have claimed it since the run looked the index up.
    owner = owner_of(target)
    if owner != target.corpus:
        raise IndexMismatchError(
            f"namespace {target.entry.namespace!r} of index {target.name} was just taken by corpus {owner};"
            " set `namespace` to another name"
        )
