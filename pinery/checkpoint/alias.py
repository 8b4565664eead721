"""The alias says which index of a corpus is live, and what was live before."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

from pinery.checkpoint.own import replace_own
from pinery.checkpoint.store import Store
from pinery.parquet.damage import parsing
from pinery.records import ModelCard


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One index of a corpus and the card of the model that filled it."""

    kind: str
    name: str
    namespace: str
    card: ModelCard

    @property
    def place(self) -> str:
        """The place of the index, as users read it."""
        return f"{self.kind}:{self.name} / {self.namespace}"

    def same_place(self, other: IndexEntry) -> bool:
        """Return whether both name one (index, namespace)."""
        return (self.kind, self.name, self.namespace) == (other.kind, other.name, other.namespace)


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the alias' history; `at` is ISO 8601 in UTC, `live` is empty once nothing is live."""

    at: str
    run: str
    live: str


@dataclass(frozen=True, slots=True)
class Alias:
    """The live index, those that are kept true beside it, and the retired ones."""

    live: IndexEntry | None = None
    kept: list[IndexEntry] = field(default_factory=list)
    retired: list[IndexEntry] = field(default_factory=list)
    history: list[Change] = field(default_factory=list)

    def with_live(self, entry: IndexEntry, at: str, run: str) -> Alias:
        """Return the alias after `entry` went live."""
        if self.live == entry:
            return self
        retired = [old for old in self.retired if not old.same_place(entry)]
        if self.live is not None and not self.live.same_place(entry):
            retired.append(self.live)
        kept = [old for old in self.kept if not old.same_place(entry)]
        return replace(
            self, live=entry, kept=kept, retired=retired, history=[*self.history, Change(at, run, entry.name)]
        )

    def without(self, entry: IndexEntry, at: str, run: str) -> Alias:
        """Return the alias after `entry` was removed."""
        kept = [old for old in self.kept if not old.same_place(entry)]
        retired = [old for old in self.retired if not old.same_place(entry)]
        if self.live is None or not self.live.same_place(entry):
            return replace(self, kept=kept, retired=retired)
        return replace(self, live=None, kept=kept, retired=retired, history=[*self.history, Change(at, run, "")])


def read_alias(store: Store, name: str) -> tuple[Alias, str | None]:
    """Return the alias and its tag; an empty alias where none was written. Raises DamagedError."""
    found = store.read(name)
    if found is None:
        return Alias(), None
    with parsing(f"{store.root}/{name}", "alias"):
        data = json.loads(found[0])
        return Alias(
            live=_entry(data["live"]) if data["live"] else None,
            kept=[_entry(entry) for entry in data["kept"]],
            retired=[_entry(entry) for entry in data["retired"]],
            history=[Change(**change) for change in data["history"]],
        ), found[1]


def write_alias(store: Store, name: str, alias: Alias, tag: str | None) -> str:
    """Replace the alias read with `tag`; return the new tag. Raises ConflictError where it changed since."""
    return replace_own(store, name, json.dumps(asdict(alias), indent=2).encode(), tag)


def _entry(data: dict[str, object]) -> IndexEntry:
    return IndexEntry(**{**data, "card": ModelCard(**data["card"])})  # type: ignore[arg-type]  # JSON of asdict()
