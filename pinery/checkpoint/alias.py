"""The alias says which target of a corpus is live, which are kept true beside it, and what became of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pinery.checkpoint.own import replace_own
from pinery.checkpoint.store import Store
from pinery.parquet.damage import parsing
from pinery.records import ModelCard
from pinery.reports import Change


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One index of a corpus and the card of the model that filled it. Times are ISO 8601 in UTC."""

    kind: str
    name: str
    namespace: str
    card: ModelCard
    model: Mapping[str, Any] | None = None
    """The settings that the card was resolved from, as under `model:` in a config; None in an alias of old."""
    until: str = ""
    """For a kept index, when that ends; for a retired one, when it was retired; empty for others."""
    gate: str = ""
    """The verdict of the gate, for a candidate that was judged."""
    listing: str = ""
    """The name of the listing that a candidate was brought to before the gate judged it."""

    @property
    def place(self) -> str:
        """The place of the index, as users read it."""
        return f"{self.kind}:{self.name} / {self.namespace}"

    def same_place(self, other: IndexEntry) -> bool:
        """Return whether both name one (index, namespace)."""
        return (self.kind, self.name, self.namespace) == (other.kind, other.name, other.namespace)

    def same_target(self, other: IndexEntry) -> bool:
        """Return whether both name one (index, namespace) with vectors of one model."""
        return self.same_place(other) and self.card.key == other.card.key

    def names(self) -> dict[str, str]:
        """Return the names of the target, as results have them."""
        names = {"kind": self.kind, "index": self.name, "namespace": self.namespace}
        return names | {"model": self.card.name, "model_key": self.card.key}

    def plain(self) -> IndexEntry:
        """Return the entry without what was only true of a kept, retired or candidate index."""
        return replace(self, until="", gate="", listing="")


@dataclass(frozen=True, slots=True)
class Alias:
    """The live index, those that are kept true beside it, the retired ones, and the candidates of backfills."""

    live: IndexEntry | None = None
    kept: list[IndexEntry] = field(default_factory=list)
    retired: list[IndexEntry] = field(default_factory=list)
    history: list[Change] = field(default_factory=list)
    generation: int = 0
    """The number of times that another index became live, or none."""
    candidates: list[IndexEntry] = field(default_factory=list)

    def in_use(self) -> list[IndexEntry]:
        """Return the indexes that are not retired: the live one, the kept, and the candidates."""
        return [*([self.live] if self.live else []), *self.kept, *self.candidates]

    def entries(self) -> Iterator[IndexEntry]:
        """Yield all indexes: those in use, and the retired ones with the newest first."""
        yield from [*self.in_use(), *reversed(self.retired)]

    def with_live(self, entry: IndexEntry, at: str, run: str) -> Alias:
        """Return the alias after `entry` went live in a run; what was live before is retired."""
        entry = entry.plain()
        if self.live is not None and self.live.same_target(entry):
            return replace(self, live=entry)
        retired = [] if self.live is None or self.live.same_place(entry) else [replace(self.live, until=at)]
        rest = self._elsewhere(entry)
        return rest._now_live(replace(rest, live=entry, retired=[*rest.retired, *retired]), Change(at, run, entry.name))

    def promoted(self, entry: IndexEntry, until: str, change: Change) -> Alias:
        """Return the alias after `entry` went live by a promotion or rollback; the one before is kept `until` then."""
        entry = entry.plain()
        if self.live is not None and self.live.same_target(entry):
            return self
        kept = [] if self.live is None or self.live.same_place(entry) else [replace(self.live, until=until)]
        rest = self._elsewhere(entry)
        return rest._now_live(replace(rest, live=entry, kept=[*rest.kept, *kept]), change)

    def without(self, entry: IndexEntry, at: str, run: str) -> Alias:
        """Return the alias after `entry` was removed."""
        rest = self._elsewhere(entry)
        if self.live is None or not self.live.same_place(entry):
            return rest
        return rest._now_live(replace(rest, live=None), Change(at, run, "", "removed"))

    def with_candidate(self, entry: IndexEntry) -> Alias:
        """Return the alias with a candidate, in the place of what was noted of it before."""
        others = [one for one in self.candidates if not one.same_place(entry)]
        retired = [one for one in self.retired if not one.same_place(entry)]
        return replace(self, candidates=[*others, entry], retired=retired)

    def expired(self, at: str) -> Alias:
        """Return the alias with the kept indexes retired whose time is over at `at`."""
        over = [one for one in self.kept if one.until <= at]
        if not over:
            return self
        kept = [one for one in self.kept if one.until > at]
        return replace(self, kept=kept, retired=[*self.retired, *(replace(one, until=at) for one in over)])

    def _elsewhere(self, entry: IndexEntry) -> Alias:
        """Return the alias without what it says of the place of `entry`, except that it is live."""
        kept, retired, candidates = (
            [old for old in entries if not old.same_place(entry)]
            for entries in (self.kept, self.retired, self.candidates)
        )
        return replace(self, kept=kept, retired=retired, candidates=candidates)

    def _now_live(self, changed: Alias, change: Change) -> Alias:
        return replace(changed, history=[*self.history, change], generation=self.generation + 1)


def read_alias(store: Store, name: str) -> tuple[Alias, str | None]:
    """Return the alias and its tag; an empty alias where none was written. Raises DamagedError."""
    found = store.read(name)
    if found is None:
        return Alias(), None
    with parsing(f"{store.root}/{name}", "alias"):
        data = json.loads(found[0])
        history = [Change(**change) for change in data["history"]]
        return Alias(
            live=_entry(data["live"]) if data["live"] else None,
            kept=[_entry(entry) for entry in data["kept"]],
            retired=[_entry(entry) for entry in data["retired"]],
            history=history,
            generation=int(data.get("generation", len(history))),
            candidates=[_entry(entry) for entry in data.get("candidates", [])],
        ), found[1]


def write_alias(store: Store, name: str, alias: Alias, tag: str | None) -> str:
    """Replace the alias read with `tag`; return the new tag. Raises ConflictError where it changed since."""
    return replace_own(store, name, json.dumps(asdict(alias), indent=2).encode(), tag)


def _entry(data: dict[str, object]) -> IndexEntry:
    return IndexEntry(**{**data, "card": ModelCard(**data["card"])})  # type: ignore[arg-type]  # JSON of asdict()
