"""Remove a corpus from its index: the namespace goes, the index stays, and so does the checkpoint."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from pinery.checkpoint.alias import write_alias
from pinery.steps.bulk_import import resume_import
from pinery.steps.corpus import Corpus
from pinery.steps.find_index import find_index, release_namespace
from pinery.steps.run import Progress, Run, open_run
from pinery.steps.upsert_part import outlast


def remove(corpus: Corpus, *, really: bool, progress: Progress) -> dict[str, Any]:
    """Delete the corpus' namespace from the config's index, or only count its rows unless `really`.

    Listings, parts and reports stay, so that a later run fills the namespace again without embedding anything. Raises
    IndexMismatchError where the index or the namespace isn't this corpus' own.
    """
    with open_run(corpus, progress=progress) as run:
        find_index(run, behind=not really)
        exists = run.identity is not None
        if really and exists:
            resume_import(run)  # its rows would come after the namespace was deleted
        rows = outlast(run, corpus.index.count) if exists else 0
        if really:
            run.check()
            if exists:
                outlast(run, corpus.index.drop)
                outlast(run, partial(corpus.index.leave_mark, ""))
            _forget(run)
    return {
        "corpus": corpus.config.corpus,
        "kind": corpus.config.index.kind,
        "index": corpus.index_name,
        "namespace": corpus.config.namespace,
        "rows": rows,
        "removed": really,
    }


def _forget(run: Run) -> None:
    corpus = run.corpus
    alias, tag = corpus.alias()
    changed = alias.without(corpus.entry, datetime.now(UTC).isoformat(timespec="seconds"), run.name)
    run.check()
    if changed != alias:
        write_alias(corpus.store, corpus.paths.alias, changed, tag)
    # Without it the ledger is void, whatever its entries say.
    corpus.store.delete(corpus.index_paths.identity)
    release_namespace(corpus)
