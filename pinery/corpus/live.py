"""The alias of a corpus: the one place that changes which target is live, kept or retired."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime

from pinery.checkpoint.alias import Alias, IndexEntry, write_alias
from pinery.corpus.corpus import Corpus
from pinery.corpus.run import Run
from pinery.errors import ConflictError, RefusedError


def change_alias(run: Run, change: Callable[[Alias, str], Alias], missed: str) -> None:
    """Replace the alias that the run saw when it began by `change(alias, time)`, by compare-and-swap.

    `missed` is the part of the error that says what was not achieved. Raises RefusedError where something else
    changed what is live since then: the run could not know of it.
    """
    corpus, at = run.corpus, datetime.now(UTC).isoformat(timespec="seconds")
    seen = run.alias.live
    while (changed := change(run.alias, at)) != run.alias:
        run.main.check()
        try:
            run.alias_tag = write_alias(corpus.store, corpus.paths.alias, changed, run.alias_tag)
            run.alias = changed
        except ConflictError:
            run.alias, run.alias_tag = corpus.alias()
            live = run.alias.live
            if live not in (seen, changed.live):
                raise RefusedError(_lost(corpus.config.corpus, missed, live)) from None


def go_live(run: Run) -> None:
    """Make the run's main target the live one, in the place of what was live when the run began.

    Raises RefusedError where something else changed what is live since then.
    """
    entry = run.main.target.entry
    change_alias(
        run,
        lambda alias, at: alias.with_live(entry, at, run.name),
        f"index {entry.place} is filled and verified, and didn't go live",
    )


def _lost(corpus: str, missed: str, live: IndexEntry | None) -> str:
    now = f"{live.place} with model {live.card.name} (model key {live.card.key})" if live else "none"
    return (
        f"corpus {corpus}: {missed}: while this run was under way, something else changed what is live, and that is"
        f" {now} now. It was not touched, and what this run embedded is kept"
    )


def retired(corpus: Corpus) -> list[dict[str, str]]:
    """Return the indexes that were live once and are not kept true, each with the command that removes it."""
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
    own = corpus.target.entry
    wanted = [
        ("namespace", entry.namespace, own.namespace),
        ("index.kind", entry.kind, own.kind),
        ("index.name", entry.name, own.name),
    ]
    changes = [f"--set {shlex.quote(f'{key}={value}')}" for key, value, current in wanted if value != current]
    return " ".join(["pinery remove CONFIG", *changes])
