"""The alias of a corpus: the one place that changes which target is live, kept or retired."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime

from pinery.checkpoint.alias import Alias, IndexEntry, write_alias
from pinery.corpus.corpus import Corpus
from pinery.errors import ConflictError, RefusedError


def now() -> str:
    """Return the time as the alias has it: ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class SeenAlias:
    """The alias as it was when somebody looked at it, and the way to replace it by compare-and-swap."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self.alias, self._tag = corpus.alias()

    def change(self, change: Callable[[Alias], Alias], missed: str, check: Callable[[], None] = lambda: None) -> None:
        """Replace the alias by `change` of it, after a `check`. Whatever else was changed meanwhile is kept.

        `missed` is the part of the error that says what was not achieved. Raises RefusedError where something else
        changed what is live since it was looked at: whoever decided on this change could not know of that.
        """
        corpus, seen = self._corpus, self.alias.live
        while (changed := change(self.alias)) != self.alias:
            check()
            try:
                self._tag = write_alias(corpus.store, corpus.paths.alias, changed, self._tag)
                self.alias = changed
            except ConflictError:
                self.alias, self._tag = corpus.alias()
                live = self.alias.live
                if not any(_same(live, known) for known in (seen, changed.live)):
                    raise RefusedError(_lost(corpus.config.corpus, missed, live)) from None


def _same(one: IndexEntry | None, other: IndexEntry | None) -> bool:
    return one is other if one is None or other is None else one.same_target(other)


def _lost(corpus: str, missed: str, live: IndexEntry | None) -> str:
    now = f"{live.place} with model {live.card.name} (model key {live.card.key})" if live else "none"
    return (
        f"corpus {corpus}: {missed}: meanwhile something else changed what is live, and that is {now} now. It was not"
        " touched, and what is embedded is kept"
    )


def retired(corpus: Corpus) -> list[dict[str, str]]:
    """Return the indexes that no run keeps true any more, each with the command that removes it."""
    return [
        {
            "kind": one.kind,
            "index": one.name,
            "namespace": one.namespace,
            "model": one.card.name,
            "since": one.until,
            "remove": _removal(corpus, one),
        }
        for one in corpus.alias()[0].retired
    ]


def _removal(corpus: Corpus, entry: IndexEntry) -> str:
    card = corpus.known_card()
    if card is None or card.key != entry.card.key:
        return "pinery prune CONFIG --yes"
    own = corpus.named_with(card)
    wanted = [
        ("namespace", entry.namespace, own.namespace),
        ("index.kind", entry.kind, own.kind),
        ("index.name", entry.name, own.name),
    ]
    changes = [f"--set {shlex.quote(f'{key}={value}')}" for key, value, current in wanted if value != current]
    return " ".join(["pinery remove CONFIG", *changes])
