"""The seal of a plan: what it was made from, small enough to travel as a flow's parameter; and what moved since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from pinery.planning.plan import SECTIONS

MOST_MARKED = 200
"""Changes of a plan up to which each is marked in its seal, so that another one can be named."""
SHOWN = 5
"""Items that are named at most."""
DIGEST, MARK = 16, 8


@dataclass(frozen=True, slots=True)
class SealedTarget:
    """One target of a plan: what its checkpoint and its ledger were, and the work."""

    place: str
    """The place of the index; empty while the model was not resolved, and the target is not known."""
    model_key: str
    checkpoint: str
    """A digest of the names of the parts, and of the ledger's files below."""
    ledger: str
    work: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SealedListing:
    """The listing of a plan, and the changes against the main target's ledger."""

    rows: int
    content: str
    """A digest of all ids, versions and metadata."""
    sections: Mapping[str, int]
    """The number of items in each section."""
    marks: tuple[str, ...] | None
    """A mark for each change; None where they are too many."""


@dataclass(frozen=True, slots=True)
class Seal:
    """All that a plan was made from."""

    corpus: str
    options: Mapping[str, Any]
    """The flags of the run that bear on its plan."""
    settings: Mapping[str, str]
    """A digest of each of the config's keys that bear on it."""
    generation: int
    """The alias' generation, and the live index below; empty where none is live."""
    live: str
    listing: SealedListing
    targets: tuple[SealedTarget, ...]

    @property
    def serial(self) -> str:
        """A short text that is another one for every other seal."""
        return digest(asdict(self))

    def to_json(self) -> str:
        """Return the seal as text, of which `from_dict` makes the seal again."""
        return json.dumps(asdict(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Seal:
        """Return the seal of which `asdict` made `data`. Raises KeyError, TypeError, ValueError where it is none."""
        listing = dict(data["listing"])
        if listing["marks"] is not None:
            listing["marks"] = tuple(listing["marks"])
        targets = tuple(SealedTarget(**one) for one in data["targets"])
        return cls(**{**data, "listing": SealedListing(**listing), "targets": targets})


def digest(value: Any) -> str:
    """Return a short digest of what JSON can say."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGEST]


def seal_listing(
    con: duckdb.DuckDBPyConnection, sections: Mapping[str, int], *, ordered: bool
) -> tuple[SealedListing, dict[str, str]]:
    """Return the seal of the listing that is planned in `con`, and the id behind each mark.

    Its order counts where it is `ordered`, as for a limit.
    """
    item = f"concat_ws('\n', id, version, metadata_hash{', position' if ordered else ''})"
    [(rows, total)] = con.execute(f"SELECT count(*), sum(md5_number_lower({item}))::VARCHAR FROM items").fetchall()
    changes = sum(count for name, count in sections.items() if name != "unchanged")
    marked = _marks(con) if changes <= MOST_MARKED else None
    marks = None if marked is None else tuple(sorted(marked))
    return SealedListing(rows, digest(total), dict(sections), marks), marked or {}


def _marks(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    word = " ".join(f"WHEN {condition} THEN '{name}'" for name, condition in SECTIONS.items())
    found = con.execute(f"""
        SELECT md5(concat_ws('\n', section, id, version, metadata_hash)), id FROM (
            SELECT CASE {word} END AS section, id, version, metadata_hash, position FROM items
            UNION ALL SELECT 'removed', id, '', '', -1 FROM leaving WHERE deleted
        ) WHERE section <> 'unchanged' ORDER BY position, id
    """).fetchall()
    return {mark[:MARK]: id for mark, id in found}


def moved(plan: Seal, now: Seal, ids: Mapping[str, str]) -> list[str]:
    """Return in words what moved since the plan, empty where nothing did; `ids` are behind the marks of `now`."""
    reasons = [
        f"the config's `{name}` is another one"
        for name in sorted({*plan.settings, *now.settings})
        if plan.settings.get(name) != now.settings.get(name)
    ]
    if plan.live != now.live:
        reasons.append(f"another index is live: {now.live or 'none'}, and by the plan {plan.live or 'none'}")
    elif plan.generation != now.generation:
        reasons.append(f"the alias is at generation {now.generation}, and by the plan at {plan.generation}")
    if plan.listing.content != now.listing.content:
        reasons.append(_items_moved(plan.listing, now.listing, ids))
    known, found = plan.targets, now.targets
    if not _same_targets(known, found):
        names = (", ".join(one.place for one in targets) or "none" for targets in (found, known))
        reasons.append("other indexes are to be brought true: {}, and by the plan {}".format(*names))
        return reasons
    for before, after in zip(known, found, strict=True):
        reasons += _target_moved(before, after, quiet=bool(reasons))
    return reasons


def _same_targets(known: tuple[SealedTarget, ...], found: tuple[SealedTarget, ...]) -> bool:
    if len(known) != len(found):
        return False
    pairs = zip(known, found, strict=True)
    return all(not one.place or (one.place, one.model_key) == (two.place, two.model_key) for one, two in pairs)


def _target_moved(before: SealedTarget, after: SealedTarget, *, quiet: bool) -> list[str]:
    reasons = []
    if before.checkpoint != after.checkpoint:
        reasons.append(f"the checkpoint of model key {after.model_key} moved on")
    if before.ledger != after.ledger:
        reasons.append(f"the ledger of index {after.place} moved on")
    other = [
        f"{name.replace('_', ' ')} {count:,}, by the plan {before.work.get(name, 0):,}"
        for name, count in after.work.items()
        if count != before.work.get(name, 0)
    ]
    if other and not reasons and not quiet:
        reasons.append(f"index {after.place} is not what it was: rows {'; '.join(other)}")
    return reasons


def _items_moved(plan: SealedListing, now: SealedListing, ids: Mapping[str, str]) -> str:
    if plan.marks is not None and now.marks is not None:
        names = sorted({ids[mark] for mark in now.marks if mark in ids and mark not in plan.marks})
        gone = len(set(plan.marks) - set(now.marks))
        count = max(len(names), gone)
        if names:
            more = ", …" if len(names) > SHOWN else ""
            return f"{_items(count)} changed since: {', '.join(names[:SHOWN])}{more}"
        if count:
            return f"{_items(count)} of the plan changed back since, or went"
    differences = [
        f"{name} {now.sections[name]:,}, by the plan {count:,}"
        for name, count in plan.sections.items()
        if now.sections.get(name) != count
    ]
    return f"items changed since: {'; '.join(differences) or 'as many of each kind, and others'}"


def _items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}"
