"""The plan over tables of a few rows: each case says what must become of every id."""

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinery.planning.plan import count_plan, define_plan, duplicate_ids, group_sizes, not_indexed
from pinery.records import metadata_hash
from tests.planning.tables import LABEL, tables

OTHER = '{"label":"b"}'


def in_group(id: str, group: str) -> tuple[str | None, ...]:
    return (id, "v1", OTHER, None, None, group)


Case = dict[str, Any]
"""The tables (see `tables`), the flags `limit` and `retry`, the ids to `embed`, `upsert` and `delete`, and counts."""

CASES: dict[str, Case] = {
    "new": {
        "listing": ["a", "b"],
        "embed": "a b",
        "counts": {"new": 2},
    },
    "embedded but never upserted": {
        "listing": ["a"],
        "checkpoint": [("0", "a")],
        "upsert": "a",
        "counts": {"new": 1},
    },
    "unchanged": {
        "listing": ["a"],
        "checkpoint": [("0", "a")],
        "ledger": [("a",)],
        "counts": {"unchanged": 1},
    },
    "changed": {
        "listing": [("a", "v2")],
        "checkpoint": [("0", "a")],
        "ledger": [("a",)],
        "embed": "a",
        "counts": {"changed": 1},
    },
    "changed, and in doubt since it was last written": {
        "listing": [("a", "v3")],
        "checkpoint": [("0", "a"), ("1", "a", "v2")],
        "ledger": [("a", "v1", LABEL, "doubt")],
        "embed": "a",
        "counts": {"changed": 1, "doubtful": 1, "held_in_doubt": 1},
    },
    "new, and in doubt under a version that is no more": {
        "listing": [("a", "v2")],
        "checkpoint": [("0", "a")],
        "ledger": [("a", None, None, "doubt")],
        "embed": "a",
        "counts": {"new": 1, "doubtful": 1, "held": 0},
    },
    "changed and embedded": {
        "listing": [("a", "v2")],
        "checkpoint": [("0", "a"), ("1", "a", "v2")],
        "ledger": [("a",)],
        "upsert": "a",
        "counts": {"changed": 1},
    },
    "changed back to what is checkpointed": {
        "listing": [("a", "v1")],
        "checkpoint": [("0", "a"), ("1", "a", "v2")],
        "ledger": [("a", "v2")],
        "upsert": "a",
        "counts": {"changed": 1},
    },
    "relabelled": {
        "listing": [("a", "v1", OTHER)],
        "checkpoint": [("0", "a")],
        "ledger": [("a",)],
        "upsert": "a",
        "counts": {"relabelled": 1},
    },
    "changed and relabelled is changed": {
        "listing": [("a", "v2", OTHER)],
        "checkpoint": [("1", "a", "v2")],
        "ledger": [("a",)],
        "upsert": "a",
        "counts": {"changed": 1},
    },
    "deleted": {
        "listing": ["a"],
        "checkpoint": [("0", "a"), ("0", "b")],
        "ledger": [("a",), ("b",)],
        "delete": "b",
        "counts": {"unchanged": 1, "deleted": 1, "leaving": 1},
    },
    "deleted and never upserted": {
        "listing": ["a"],
        "checkpoint": [("0", "a"), ("0", "b")],
        "ledger": [("a",)],
        "counts": {"unchanged": 1},
    },
    "renamed": {
        "listing": ["new"],
        "checkpoint": [("0", "old")],
        "ledger": [("old",)],
        "embed": "new",
        "delete": "old",
        "counts": {"new": 1, "deleted": 1, "leaving": 1},
    },
    "quarantined": {
        "listing": ["a", "b"],
        "checkpoint": [("0", "a", "v1", "truncated"), ("0", "b")],
        "ledger": [("b",)],
        "counts": {"quarantined": 1, "unchanged": 1},
    },
    "quarantined and to be tried again": {
        "listing": ["a", "b"],
        "checkpoint": [("0", "a", "v1", "truncated"), ("0", "b")],
        "ledger": [("b",)],
        "retry": True,
        "embed": "a",
        "counts": {"quarantined": 1, "unchanged": 1},
    },
    "quarantined in its new version": {
        "listing": [("a", "v2")],
        "checkpoint": [("0", "a"), ("1", "a", "v2", "truncated")],
        "ledger": [("a",)],
        "delete": "a",
        "counts": {"quarantined": 1, "leaving": 1},
    },
    "quarantined in an old version only": {
        "listing": [("a", "v2")],
        "checkpoint": [("0", "a", "v1", "truncated")],
        "embed": "a",
        "counts": {"new": 1},
    },
    "a vector wins over an earlier error": {
        "listing": ["a"],
        "checkpoint": [("0", "a", "v1", "truncated"), ("1", "a")],
        "upsert": "a",
        "counts": {"new": 1},
    },
    "a vector wins over a later error": {
        "listing": ["a"],
        "checkpoint": [("0", "a"), ("1", "a", "v1", "truncated")],
        "retry": True,
        "upsert": "a",
        "counts": {"new": 1},
    },
    "rejected": {
        "listing": ["a"],
        "checkpoint": [("0", "a")],
        "rejected": [("a",)],
        "counts": {"rejected": 1},
    },
    "rejected with other metadata": {
        "listing": [("a", "v1", OTHER)],
        "checkpoint": [("0", "a")],
        "rejected": [("a",)],
        "upsert": "a",
        "counts": {"new": 1},
    },
    "rejected in an old version": {
        "listing": [("a", "v2")],
        "checkpoint": [("0", "a", "v2")],
        "rejected": [("a",)],
        "upsert": "a",
        "counts": {"new": 1},
    },
    "rejected after a change, so the old row must go": {
        "listing": [("a", "v1", OTHER)],
        "checkpoint": [("0", "a")],
        "ledger": [("a",)],
        "rejected": [("a", "v1", OTHER)],
        "delete": "a",
        "counts": {"rejected": 1, "leaving": 1},
    },
    "rejected twice counts once": {
        "listing": ["a"],
        "checkpoint": [("0", "a")],
        "rejected": [("a",), ("a",), ("a", "v2")],
        "counts": {"rejected": 1},
    },
    "with metadata that no index takes": {
        "listing": [("a", "v1", "{}", "file:///a", "infinity")],
        "checkpoint": [("0", "a")],
        "retry": True,
        "counts": {"rejected": 1},
    },
    "with metadata that no index takes, and not embedded yet": {
        "listing": [("a", "v1", "{}", "file:///a", "infinity")],
        "embed": "a",
        "counts": {"rejected": 1},
    },
    "with metadata that no index takes any more, so the old row must go": {
        "listing": [("a", "v1", "{}", "file:///a", "infinity")],
        "checkpoint": [("0", "a")],
        "ledger": [("a", "v1", "{}")],
        "delete": "a",
        "counts": {"rejected": 1, "leaving": 1},
    },
    "in doubt": {
        "listing": ["a"],
        "checkpoint": [("0", "a")],
        "ledger": [("a", "v1", LABEL, "doubt")],
        "upsert": "a",
        "counts": {"unchanged": 1, "doubtful": 1, "held_in_doubt": 1},
    },
    "in doubt and never acknowledged": {
        "listing": ["a"],
        "checkpoint": [("0", "a")],
        "ledger": [("a", None, None, "doubt")],
        "upsert": "a",
        "counts": {"new": 1, "doubtful": 1, "held": 0},
    },
    "in doubt, never acknowledged, and no longer listed": {
        "ledger": [("a", None, None, "doubt")],
        "delete": "a",
        "counts": {"doubtful": 1, "held": 0, "leaving": 1},
    },
    "in doubt, never acknowledged, and then rejected": {
        "listing": ["a"],
        "checkpoint": [("0", "a")],
        "ledger": [("a", None, None, "doubt")],
        "rejected": [("a",)],
        "delete": "a",
        "counts": {"rejected": 1, "doubtful": 1, "held": 0, "leaving": 1},
    },
    "an index made anew": {
        "listing": ["a", "b"],
        "checkpoint": [("0", "a"), ("0", "b")],
        "upsert": "a b",
        "counts": {"new": 2},
    },
    "a limit restricts the work, never the listing, and deletes nothing": {
        "listing": ["c", "b", "a"],
        "ledger": [("gone",)],
        "limit": 2,
        "embed": "c b",
        "counts": {"new": 3, "deleted": 1, "leaving": 1},
    },
    "a limit counts what is done already": {
        "listing": ["a", "b", "c"],
        "checkpoint": [("0", "a"), ("0", "b")],
        "ledger": [("a",)],
        "limit": 2,
        "upsert": "b",
        "counts": {"unchanged": 1, "new": 2},
    },
    "a limit is per group": {
        "listing": [
            in_group(f"{name}{n}", group) for name, group in (("x", "CIFAR10"), ("y", "CIFAR100")) for n in range(3)
        ],
        "limit": 2,
        "embed": "x0 x1 y0 y1",
        "counts": {"new": 6},
    },
    "nothing at all": {},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_becomes_of_each_id(case: Case) -> None:
    filled = {name: case[name] for name in ("listing", "checkpoint", "ledger", "rejected") if name in case}
    with tables(**filled) as con:
        define_plan(con, limit=case.get("limit"), retry_quarantined=case.get("retry", False))
        for view, order in (("embed", "position"), ("upsert", "position"), ("delete", "id")):
            found = [row[0] for row in con.execute(f"SELECT id FROM to_{view} ORDER BY {order}").fetchall()]
            assert found == case.get(view, "").split(), view
        counts = asdict(count_plan(con))
    sizes = {f"to_{view}": len(case.get(view, "").split()) for view in ("embed", "upsert", "delete")}
    held = {"listed": len(case.get("listing", ())), "held": len(case.get("ledger", ()))}
    embedded = {(row[1], row[2] if len(row) > 2 else "v1") for row in case.get("checkpoint", ())}
    listed = [(row, "v1") if isinstance(row, str) else row[:2] for row in case.get("listing", ())]
    waiting = {"awaited": sum(tuple(one) not in embedded for one in listed)}
    assert counts == dict.fromkeys(counts, 0) | sizes | held | waiting | case.get("counts", {})


def test_each_listed_item_is_counted_under_one_word() -> None:
    words = ("new", "changed", "relabelled", "unchanged", "quarantined", "rejected")
    for name, case in CASES.items():
        counts = case.get("counts", {})
        assert sum(counts.get(word, 0) for word in words) == len(case.get("listing", ())), name


def winner(*checkpoint: tuple[str, ...]) -> tuple[int, str | None]:
    """The part, and the error if it has one, of the item `a` in version `v1`."""
    with tables(["a"], checkpoint) as con:
        define_plan(con, limit=None, retry_quarantined=False)
        rows = con.execute("SELECT part, error FROM winner").fetchall()
    assert len(rows) == 1
    return int(rows[0][0].removeprefix("part-")), rows[0][1]


def test_the_lowest_part_with_a_vector_wins() -> None:
    assert winner(("3", "a"), ("2", "a"), ("10", "a")) == (2, None)
    assert winner(("1", "a", "v1", "truncated"), ("3", "a"), ("2", "a")) == (2, None)
    assert winner(("2", "a"), ("0", "a", "v2"), ("0", "b")) == (2, None)


def test_of_several_errors_the_newest_is_shown() -> None:
    assert winner(("1", "a", "v1", "first"), ("2", "a", "v1", "second"))[1] == "second"


def test_two_items_with_one_id_are_found_with_both_uris() -> None:
    with tables(["a", ("b", "v1", OTHER, "s3://x/b"), ("b", "v2", OTHER, "s3://y/b"), "c"]) as con:
        assert duplicate_ids(con) == ("b", "s3://x/b", "s3://y/b")
    with tables(["a", "A", "b"]) as con:
        assert duplicate_ids(con) is None


def test_groups_are_counted_each_by_itself() -> None:
    with tables([in_group("x0", "CIFAR10"), in_group("y", "CIFAR100"), in_group("x1", "CIFAR10")]) as con:
        assert group_sizes(con) == [("CIFAR10", 2), ("CIFAR100", 1)]
    with tables(["a", "b"]) as con:
        assert group_sizes(con) == [(None, 2)]


def test_listings_of_earlier_versions_have_neither_errors_nor_groups() -> None:
    with tables(["a", "b"], [("0", "a")]) as con:
        con.execute('ALTER TABLE listing DROP error; ALTER TABLE listing DROP "group"')
        define_plan(con, limit=None, retry_quarantined=False)
        assert con.execute("SELECT id FROM to_embed").fetchall() == [("b",)]
        assert con.execute("SELECT id FROM to_upsert").fetchall() == [("a",)]
        assert group_sizes(con) == [(None, 2)]


def test_what_is_left_out_is_counted_by_reason_and_in_all() -> None:
    bad = [("0", str(n), "v1", "empty") for n in range(3)] + [("0", "3", "v1", "truncated")]
    embedded = [("1", f"r{n}") for n in range(2)]
    refused = [("r0", "v1", LABEL, "too large"), ("r1", "v1", LABEL, "too large"), ("gone", "v1", LABEL, "too large")]
    listed = [row[1] for row in (*bad, *embedded)]
    with tables(listed, [*bad, *embedded, ("2", "gone", "v1", "empty")], rejected=refused) as con:
        define_plan(con, limit=None, retry_quarantined=False)
        assert not_indexed(con) == {"quarantined": {"empty": 3, "truncated": 1}, "rejected": {"too large": 2}}
    with tables(["a"], [("0", "a")], ledger=[("a",)]) as con:
        define_plan(con, limit=None, retry_quarantined=False)
        assert not_indexed(con) == {}


def test_rare_reasons_are_counted_together() -> None:
    bad = [("0", f"{reason}-{n}", "v1", f"reason {reason:02}") for reason in range(13) for n in range(20 - reason)]
    with tables([row[1] for row in bad], bad) as con:
        define_plan(con, limit=None, retry_quarantined=False)
        counts = not_indexed(con)["quarantined"]
        assert list(counts) == [*(f"reason {reason:02}" for reason in range(10)), "other reasons"]
        assert sum(counts.values()) == len(bad)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_the_metadata_hash_of_the_sql_is_that_of_the_records(texts: list[str]) -> None:
    with tables([(str(n), "v1", text) for n, text in enumerate(texts)]) as con:
        define_plan(con, limit=None, retry_quarantined=False)
        hashes = con.execute("SELECT metadata_hash FROM items ORDER BY position").fetchall()
    assert [row[0] for row in hashes] == [metadata_hash(text) for text in texts]
