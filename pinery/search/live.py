"""The targets that a searcher asks: it follows the alias and the current listing, a second behind them at most."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.corpus.corpus import Corpus
from pinery.corpus.target import Target
from pinery.errors import IndexMismatchError, NoLiveIndexError, UnknownIndexError
from pinery.indexes.engine import READ_PATIENCE, ask

FRESH_SECONDS = 1.0
"""The longest time for which what was read of the alias is believed."""


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A target as it was opened in one generation of the alias: its index was found to hold its model's vectors."""

    target: Target
    generation: int
    at: float
    """The time of its opening, by the monotonic clock."""

    @property
    def age(self) -> float:
        """The seconds since it was opened."""
        return time.monotonic() - self.at


@dataclass(frozen=True, slots=True)
class _Seen:
    alias: Alias
    listing: str | None
    at: float


class LiveTargets:
    """Opens targets of a corpus, and none across a change of generation. Safe to use from several threads.

    The corpus is its own: no one else changes what it remembers.
    """

    def __init__(self, corpus: Corpus, patience: float = READ_PATIENCE) -> None:
        """Read nothing yet; an index that is away is asked again for `patience` seconds."""
        self._corpus, self._patience = corpus, patience
        self._lock = threading.Lock()
        self._seen: _Seen | None = None
        self._opened: dict[tuple[str, str], Opened] = {}
        self._own: IndexEntry | None = None
        """The config's own target, while none is live."""

    def listing(self, *, anew: bool = False) -> str | None:
        """Return the name of the current listing, read `anew` on request; None before the first run."""
        with self._lock:
            return self._look(anew=anew).listing

    def open(self, index: str | None = None, *, instead_of: Opened | None = None) -> Opened:
        """Return the live target, or the kept one or candidate of that `index` name; see `searched_entry`.

        The index is described when it is opened, not for each query; with `instead_of`, which failed, it is opened
        and described anew. Raises IndexMismatchError where it is gone or holds another model's vectors,
        NoLiveIndexError, UnknownIndexError, and TransientError where it doesn't answer.
        """
        with self._lock:
            seen = self._look(anew=instead_of is not None)
            entry = self._entry(seen, index)
            key = (entry.place, entry.card.key)
            if self._opened.get(key) is instead_of:
                self._opened.pop(key, None)
            if key not in self._opened:
                target = self._corpus.open_anew(entry)
                refuse_other(target, self._patience)
                self._opened[key] = Opened(target, seen.alias.generation, time.monotonic())
            return self._opened[key]

    def forget(self, opened: Opened) -> None:
        """Have a target opened anew by the next query, because it failed."""
        with self._lock:
            self._opened = {key: one for key, one in self._opened.items() if one is not opened}

    def _entry(self, seen: _Seen, index: str | None) -> IndexEntry:
        if index is not None or seen.alias.live is not None:
            return searched_entry(self._corpus, seen.alias, seen.listing, index)
        if self._own is None:
            self._own = searched_entry(self._corpus, seen.alias, seen.listing, None)
        return self._own

    def _look(self, *, anew: bool = False) -> _Seen:
        now = time.monotonic()  # before the reading, which takes time on S3
        if anew or self._seen is None or now - self._seen.at >= FRESH_SECONDS:
            alias, self._own = self._corpus.alias()[0], None
            if self._seen is None or alias.generation != self._seen.alias.generation:
                self._opened.clear()
                searched = alias.in_use()
                self._corpus.forget_models_but(searched)
            self._seen = _Seen(alias, self._corpus.current_listing(), now)
        return self._seen


def searched_entry(corpus: Corpus, alias: Alias, listing: str | None, index: str | None) -> IndexEntry:
    """Return the live target's entry, or that of the kept one or candidate of that `index` name.

    As long as none is live, it is the config's own, as far as limited runs have filled it. Raises NoLiveIndexError
    before the first run, UnknownIndexError, and IndexMismatchError where it is of another kind than the config's.
    """
    entry = alias.live if index is None else _named(corpus, alias, index)
    if entry is None:
        if listing is None or corpus.target.index.describe() is None:
            raise NoLiveIndexError(f"corpus {corpus.config.corpus} has no live index yet; `pinery run` makes one")
        entry = corpus.target.entry
    if entry.kind != corpus.config.index.kind:
        raise IndexMismatchError(
            f"the index to search, {entry.kind}:{entry.name}, is not of the config's index.kind, which is"
            f" {corpus.config.index.kind}: search with index.kind {entry.kind}"
        )
    return entry


def refuse_other(target: Target, patience: float = READ_PATIENCE) -> None:
    """Raise IndexMismatchError where the target's index is gone or holds another model's vectors."""
    found = ask(target.index.describe, f"index {target.name}", patience)
    if found is None or found.model_key != target.card.key:
        state = "is gone" if found is None else f"now holds vectors of model key {found.model_key}"
        raise IndexMismatchError(
            f"the index {target.name} {state}; `pinery upsert` fills the live one again from the checkpoint"
        )


def _named(corpus: Corpus, alias: Alias, name: str) -> IndexEntry:
    known = alias.in_use()
    found = next((one for one in known if one.name == name), None)
    if found is None:
        names = ", ".join(one.name for one in known) or "none"
        raise UnknownIndexError(f"corpus {corpus.config.corpus} has no index {name!r} to search; it has {names}")
    return found
