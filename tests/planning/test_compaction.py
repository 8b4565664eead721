"""Compaction keeps the row that counts of each wanted version, at each moment of it, and gives no name twice."""

from collections.abc import Iterator
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinery.planning.compaction import SMALL_PARTS, Chosen, choose_parts, rows_kept

DIMENSION, PART_ROWS = 8, 4
CON = duckdb.connect(config={"threads": 1})

Row = tuple[str, str, str | None, str]
"""The id and version of a row, its error or None, and what tells its vector from others."""
Parts = dict[str, list[Row]]


def chosen(parts: Parts, wanted: set[tuple[str, str]], part_rows: int = PART_ROWS) -> list[Chosen]:
    CON.execute("CREATE OR REPLACE TABLE checkpoint (part TEXT, id TEXT, version TEXT, error TEXT, row BIGINT)")
    CON.execute("CREATE OR REPLACE TABLE wanted (id TEXT, version TEXT)")
    rows = [(part, *row[:3], at) for part, some in parts.items() for at, row in enumerate(some)]
    for table, values in (("checkpoint", rows), ("wanted", sorted(wanted))):
        if values:
            marks = ", ".join("?" * len(values[0]))
            CON.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
    return choose_parts(CON, DIMENSION, part_rows)


def counting(parts: Parts, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Row]:
    """The row that counts of each wanted version: the vector in the lowest part, else the error in the highest."""
    found: dict[tuple[str, str], Row] = {}
    for part in sorted(parts):
        for row in parts[part]:
            before = found.get(row[:2])
            if row[:2] in wanted and (before is None or before[2] is not None):
                found[row[:2]] = row
    return found


def compacted(parts: Parts, some: list[Chosen]) -> Iterator[Parts]:
    """The checkpoint after each step: new parts are published one by one, then old ones go, the highest first."""
    moved = [parts[one.use.part][row] for one in some for row in rows_kept(CON, one.use.part)]
    number = int(max(parts, default="part--1")[5:]) + 1
    for at in range(0, len(moved), PART_ROWS):
        parts = parts | {f"part-{number + at // PART_ROWS:08d}": moved[at : at + PART_ROWS]}
        yield parts
    for one in reversed(some):
        parts = {name: rows for name, rows in parts.items() if name != one.use.part}
        yield parts


def named(parts: list[list[Row]]) -> Parts:
    return {f"part-{number:08d}": rows for number, rows in enumerate(parts)}


keys = st.tuples(st.sampled_from("abcd"), st.sampled_from(["1", "2"]))
made = st.tuples(keys, st.sampled_from([None, None, "bad", "worse"]), st.integers(0, 9))
part = st.lists(made, min_size=1, max_size=4, unique_by=lambda one: one[0])


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(parts=st.lists(part, min_size=1, max_size=5), wanted=st.sets(keys), stop=st.integers(0, 12))
def test_what_counts_is_the_same_at_each_moment_and_after_any_interruption(
    parts: list[list[Any]], wanted: set[tuple[str, str]], stop: int
) -> None:
    now = named([[(*key, error, f"{key}{value}") for key, error, value in some] for some in parts])
    right, names = counting(now, wanted), set(now)
    for attempt in range(3):  # the first ends amid its steps
        some = chosen(now, wanted)
        for step, after in enumerate(compacted(now, some)):
            new = set(after) - set(now)
            assert not new & names, "a name was given twice"
            names |= new
            now = after
            assert counting(now, wanted) == right
            if attempt == 0 and step == stop:
                break
    assert chosen(now, wanted) == [], "nothing is left to compact"
    assert max(now) == max(names), "the newest name is never free again"


def row(id: str, version: str = "1", error: str | None = None, value: str = "") -> Row:
    return (id, version, error, value)


def test_a_part_is_compacted_where_less_than_half_of_it_is_live() -> None:
    parts = named([[row("a"), row("b"), row("c")], [row("d"), row("e")], [row("f")]])
    wanted = {("a", "1"), ("d", "1"), ("f", "1")}
    [one] = chosen(parts, wanted)
    assert (one.use.part, one.use.rows, one.use.kept) == ("part-00000000", 3, 1)
    assert one.why == "1 of its 3 rows are live, and move to a new part"
    assert rows_kept(CON, one.use.part) == [0]


def test_vectors_weigh_more_than_verdicts() -> None:
    [some] = named([[row("a"), row("b", error="bad"), row("c", error="bad")]]).values()
    parts = named([some, [row("z")]])
    wanted = {("b", "1"), ("c", "1"), ("z", "1")}
    CON.execute("SELECT 1")
    assert chosen(parts, wanted) == [], "of 8 values a row it is over half that stays"
    CON.execute("SELECT 1")
    assert [one.use.part for one in choose_parts(CON, 512, PART_ROWS)] == ["part-00000000"]


def test_the_verdict_that_counts_stays() -> None:
    parts = named([[row("a", error="old"), row("b"), row("c")], [row("a", error="new")], [row("d")]])
    wanted = {("a", "1"), ("d", "1")}
    [one] = chosen(parts, wanted)
    assert rows_kept(CON, one.use.part) == [], "a later verdict stands in another part"


def test_many_small_parts_are_merged_and_few_are_left_alone() -> None:
    many = named([[row(f"i{n}")] for n in range(SMALL_PARTS)])
    wanted = {(f"i{n}", "1") for n in range(SMALL_PARTS)}
    assert [one.use.part for one in chosen(many, wanted, part_rows=64)] == sorted(many)
    assert chosen(many, wanted, part_rows=8) == [], "a part of one row isn't small where a full one has eight"
    few = dict(list(many.items())[1:])
    assert chosen(few, wanted, part_rows=64) == []


def test_without_a_row_that_stays_the_newest_part_stays() -> None:
    parts = named([[row("a")], [row("b")]])
    assert [one.use.part for one in chosen(parts, set())] == ["part-00000000"]
