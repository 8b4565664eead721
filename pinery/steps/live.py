"""Going live, and what became of the indexes that were live before."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

from pinery.checkpoint.alias import IndexEntry, write_alias
from pinery.checkpoint.store import ConflictError
from pinery.errors import RefusedError
from pinery.steps.corpus import Corpus
from pinery.steps.run import Run


def go_live_now(run: Run) -> None:
    """Make the run's index the live one, in the place of what was live when the run began.

    Raises RefusedError where something else went live since: the run could not know of it.
    """
    corpus = run.corpus
    changed = run.alias.with_live(corpus.entry, datetime.now(UTC).isoformat(timespec="seconds"), run.name)
    if changed == run.alias:
        return
    run.check()
    try:
        write_alias(corpus.store, corpus.paths.alias, changed, run.alias_tag)
    except ConflictError:
        live = corpus.alias()[0].live
        if live == corpus.entry:
            return
        now = f"{live.place} with model {live.card.name} (model key {live.card.key})" if live else "none"
        raise RefusedError(
            f"corpus {corpus.config.corpus}: index {corpus.entry.place} is filled and verified, and didn't go live:"
            f" while this run was under way, something else changed what is live, and that is {now} now. It was not"
            " touched, and what this run embedded is kept"
        ) from None


def retired(corpus: Corpus) -> list[dict[str, str]]:
    """The indexes that were live once and that no run keeps true any more, each with the command that removes it."""
    return [
        {
            "kind": one.kind,
            "index": one.name,
            "namespace": one.namespace,
            "model": one.card.name,
            "remove": _removal(corpus, one),
        }
        for one in corpus.alias()[0].retired
    ]


def _removal(corpus: Corpus, entry: IndexEntry) -> str:
    own = corpus.entry
    wanted = [
        ("namespace", entry.namespace, own.namespace),
        ("index.kind", entry.kind, own.kind),
        ("index.name", entry.name, own.name),
    ]
    changes = [f"--set {shlex.quote(f'{key}={value}')}" for key, value, current in wanted if value != current]
    return " ".join(["pinery remove CONFIG", *changes])
