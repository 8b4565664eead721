"""The seal of a plan: the same for the same state, and another, in words, wherever something moved."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinery.planning.plan import count_plan, define_plan
from pinery.planning.seal import MOST_MARKED, Seal, SealedListing, SealedTarget, moved, seal_listing
from tests.planning.tables import tables

Rows = dict[str, tuple[str, str]]
"""A version and metadata by id."""
ROWS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.sampled_from(["v1", "v2"]), st.sampled_from(["{}", '{"x":1}'])),
    max_size=8,
)
TARGET = SealedTarget("lance:pinery / test", "key", "parts", "entries", {"to_embed": 0, "to_upsert": 1, "to_delete": 0})


def sealed(rows: Rows, ledger: Rows | None = None, ordered: bool = False) -> tuple[SealedListing, dict[str, str]]:
    with tables(
        [(id, version, metadata) for id, (version, metadata) in rows.items()],
        ledger=[(id, version, metadata) for id, (version, metadata) in (ledger or {}).items()],
    ) as con:
        define_plan(con, limit=None, retry_quarantined=False)
        counts = count_plan(con)
        names = ("new", "changed", "relabelled", "unchanged", "quarantined", "rejected")
        sections = {name: getattr(counts, name) for name in names} | {"removed": counts.deleted}
        return seal_listing(con, sections, ordered=ordered)


def made(listing: SealedListing, **changes: object) -> Seal:
    whole = Seal("test", {"limit": None}, {"run": "1", "model": "2"}, 3, "lance:pinery / test", listing, (TARGET,))
    return replace(whole, **changes)  # type: ignore[arg-type]  # fields of a seal


@settings(max_examples=50)
@given(ROWS, ROWS, ROWS)
def test_every_item_that_moved_is_found_and_nothing_else(before: Rows, after: Rows, ledger: Rows) -> None:
    old, new = sealed(before, ledger), sealed(after, ledger)
    reasons = moved(made(old[0]), made(new[0]), new[1])
    different = {id for id in {*before, *after} if before.get(id) != after.get(id)}
    assert bool(reasons) == bool(different) == (made(old[0]).serial != made(new[0]).serial)
    if different:
        [reason] = reasons
        assert "since" in reason
        named = reason.partition(": ")[2].split(", ") if ": " in reason else []
        assert set(named) <= different | {"…"}
        # An item that is as the ledger has it now is no change any more, so it has no name.
        nameable = {id for id in different if id in ledger or id in after} - {
            id for id in different if after.get(id) == ledger.get(id)
        }
        assert len(named) == min(len(nameable), 6)


@settings(max_examples=40)
@given(ROWS)
def test_a_seal_is_the_same_however_the_items_are_ordered_but_for_a_limit(rows: Rows) -> None:
    turned = dict(reversed(rows.items()))
    assert sealed(rows)[0] == sealed(turned)[0]
    same = sealed(rows, ordered=True)[0].content == sealed(turned, ordered=True)[0].content
    assert same == (list(rows) == list(turned))


def test_a_seal_survives_json() -> None:
    seal = made(sealed({"a": ("v1", "{}")})[0])
    assert Seal.from_dict(json.loads(seal.to_json())) == seal
    assert Seal.from_dict(json.loads(seal.to_json())).serial == seal.serial
    with pytest.raises((KeyError, TypeError)):
        Seal.from_dict({})


def test_many_changes_are_told_by_number() -> None:
    rows = {str(number): ("v1", "{}") for number in range(MOST_MARKED + 1)}
    old, (new, ids) = sealed(rows)[0], sealed(rows | {"x": ("v1", "{}")})
    assert (old.marks, ids) == (None, {})
    assert moved(made(old), made(new), ids) == [
        f"items changed since: new {MOST_MARKED + 2}, by the plan {MOST_MARKED + 1}"
    ]
    other = sealed({**rows, "0": ("v2", "{}")})[0]
    assert moved(made(old), made(other), {}) == ["items changed since: as many of each kind, and others"]


def test_each_other_move_is_named() -> None:
    listing = sealed({"a": ("v1", "{}")})[0]
    plan = made(listing)

    def why(**changes: object) -> list[str]:
        return moved(plan, made(listing, **changes), {})

    assert why() == []
    assert why(settings={"run": "other", "model": "2"}) == ["the config's `run` is another one"]
    assert why(live="lance:new / test", generation=4) == [
        "another index is live: lance:new / test, and by the plan lance:pinery / test"
    ]
    assert why(generation=4) == ["the alias is at generation 4, and by the plan at 3"]
    assert why(targets=(replace(TARGET, ledger="moved"),)) == ["the ledger of index lance:pinery / test moved on"]
    assert why(targets=(replace(TARGET, checkpoint="moved"),)) == ["the checkpoint of model key key moved on"]
    other = replace(TARGET, work={**TARGET.work, "to_upsert": 12})
    assert why(targets=(other,)) == ["index lance:pinery / test is not what it was: rows to upsert 12, by the plan 1"]
    kept = replace(TARGET, place="lance:kept / test")
    assert why(targets=(TARGET, kept)) == [
        "other indexes are to be brought true: lance:pinery / test, lance:kept / test,"
        " and by the plan lance:pinery / test"
    ]


def test_a_plan_from_before_the_model_was_resolved_fits_any_first_target() -> None:
    listing = sealed({"a": ("v1", "{}")})[0]
    plan = made(listing, targets=(replace(TARGET, place="", model_key=""),))
    assert moved(plan, made(listing), {}) == []
    assert moved(plan, made(listing, targets=(replace(TARGET, ledger="moved"),)), {}) != []
