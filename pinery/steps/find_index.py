"""Which index a run serves: found by identity before anything is embedded, created after the guards."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from functools import partial

from pinery.checkpoint.damage import parsing
from pinery.checkpoint.ledger import Ledger, last_epoch
from pinery.checkpoint.root import folder_name
from pinery.checkpoint.store import ConflictError
from pinery.errors import IndexMismatchError, TransientError
from pinery.records import Identity
from pinery.steps.corpus import Corpus
from pinery.steps.doubts import doubt_all, doubt_last_window
from pinery.steps.marks import Recorded, read_recorded, refuse_behind, why_behind, write_recorded
from pinery.steps.outage import outlast
from pinery.steps.run import Run


def find_index(run: Run, *, behind: bool = False) -> None:
    """Look the index up and decide whether the ledger speaks of it; nothing is created.

    Raises IndexMismatchError where the index has another dimension, metric, owner or model, or where its namespace
    belongs to another corpus; RefusedError where another copy of this state wrote to it, unless `behind` is allowed.
    """
    corpus = run.corpus
    found = outlast(run, corpus.index.describe)
    refuse_foreign(corpus, found)
    owner = _owner(corpus)
    if owner not in (None, corpus.config.corpus):
        raise IndexMismatchError(
            f"namespace {corpus.config.namespace!r} of index {corpus.index_name} belongs to corpus {owner};"
            " set `namespace` to another name"
        )
    run.behind = why_behind(corpus, outlast(run, corpus.index.read_mark)) if found else ""
    if not behind:
        refuse_behind(run)
    run.identity = found
    run.ledger = open_ledger(corpus, found, run.lease.epoch)
    doubt_last_window(run, run.ledger)
    if run.ledger.files() and outlast(run, corpus.index.count) == 0:
        # Emptied by somebody, or not yet showing what was written: to be in doubt of every row is right for both.
        run.note(f"namespace {corpus.config.namespace} of index {corpus.index_name} is empty against a full ledger")
        doubt_all(run, run.ledger)


def ensure_index(run: Run) -> None:
    """Create the index if it is absent, wait until it is ready, and remember which one it is."""
    corpus = run.corpus
    run.check()
    _claim(corpus)
    corpus.store.write(corpus.paths.card(corpus.card.key), json.dumps(asdict(corpus.card), indent=2).encode())
    wanted = Identity(corpus.state, uuid.uuid4().hex, corpus.card.key)
    found = outlast(run, partial(corpus.index.ensure, wanted))
    refuse_foreign(corpus, found)
    if run.identity is None or run.identity.incarnation != found.incarnation:
        run.identity = found
        run.ledger = open_ledger(corpus, found, run.lease.epoch)
    # Until here, what was entered in this run counts by the ledger alone.
    before = read_recorded(corpus)
    marks = before.marks if before and before.incarnation == found.incarnation else ()
    recorded = Recorded(found.incarnation, run.open_ledger.first_epoch, marks)
    if recorded != before:
        run.check()
        write_recorded(corpus, recorded)


def refuse_foreign(corpus: Corpus, found: Identity | None) -> None:
    """Raise IndexMismatchError where the index belongs to another state or another model."""
    if found is None:
        return
    if found.state != corpus.state:
        raise IndexMismatchError(
            f"index {corpus.index_name} belongs to state {found.state}; this state is {corpus.state}"
            f" ({corpus.store.root}). Set index.name or index.prefix to another name"
        )
    if found.model_key != corpus.card.key:
        raise IndexMismatchError(
            f"index {corpus.index_name} holds vectors of model key {found.model_key};"
            f" the config's model {corpus.card.name} has {corpus.card.key}. Set index.name to another name"
        )


def open_ledger(corpus: Corpus, found: Identity | None, epoch: int) -> Ledger:
    """The ledger of the config's index, to be written under lease `epoch`; empty where what was recorded is void.

    It is void where the index is gone or is another incarnation.
    """
    recorded, epoch = read_recorded(corpus), _after(corpus, epoch)
    if recorded is not None and found is not None and found.incarnation == recorded.incarnation:
        return Ledger(corpus.store, corpus.index_paths, epoch, recorded.first_epoch)
    return Ledger(corpus.store, corpus.index_paths, epoch, epoch)


def _after(corpus: Corpus, epoch: int) -> int:
    # A lease that was deleted by hand starts to count anew; its entries must still come last.
    return max(epoch, last_epoch(corpus.store, corpus.index_paths) + 1)


def release_namespace(corpus: Corpus) -> None:
    """Let another corpus have the namespace."""
    corpus.store.delete(_owner_file(corpus))


def _owner_file(corpus: Corpus) -> str:
    kind, namespace = corpus.config.index.kind, folder_name(corpus.config.namespace)
    return f"owners/{kind}/{corpus.index_name}/{namespace}.json"


def _owner(corpus: Corpus) -> str | None:
    found = corpus.store.read(_owner_file(corpus))
    with parsing(f"{corpus.store.root}/{_owner_file(corpus)}", "owners"):
        return str(json.loads(found[0])["corpus"]) if found else None


def _claim(corpus: Corpus) -> None:
    if _owner(corpus) is None:
        try:
            corpus.store.replace(_owner_file(corpus), json.dumps({"corpus": corpus.config.corpus}).encode(), None)
        except (ConflictError, TransientError):
            owner = _owner(corpus)
            if owner is None:
                raise
            if owner != corpus.config.corpus:
                raise IndexMismatchError(
                    f"namespace {corpus.config.namespace!r} of {corpus.index_name} was just taken by corpus {owner}"
                ) from None
