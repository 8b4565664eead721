"""Rows that would lose metadata are found by the metadata that they were sent before."""

import json
from collections.abc import Mapping

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from pinery.planning.labels import count_losing, find_relabelled, note_names
from pinery.planning.plan import define_plan
from tests.planning.tables import tables

Labels = Mapping[str, Mapping[str, str]]
"""id -> metadata"""


def as_text(labels: Labels) -> dict[str, str]:
    return {id: json.dumps(metadata, sort_keys=True) for id, metadata in labels.items()}


def losing(now: Labels, held: Labels, *listings: Labels) -> tuple[int, list[str]]:
    """Return what the listing `now` loses, where the index has `held`; `listings` came before, newest first."""
    listing = [(id, "v1", text) for id, text in as_text(now).items()]
    with tables(listing, [("0", id) for id in now], [(id, "v1", text) for id, text in as_text(held).items()]) as con:
        define_plan(con, limit=None, retry_quarantined=False)
        if not find_relabelled(con):
            return 0, []
        for at, earlier in enumerate(listings):
            _fill(con, f"earlier_{at}", earlier)
        for at in range(len(listings)):
            if note_names(con, f"earlier_{at}", exact=True):
                return count_losing(con)
        note_names(con, "earlier_0", exact=False)
        return count_losing(con)


def _fill(con: duckdb.DuckDBPyConnection, table: str, labels: Labels) -> None:
    con.execute(f"CREATE TABLE {table} (id TEXT, metadata TEXT)")
    for row in as_text(labels).items():
        con.execute(f"INSERT INTO {table} VALUES (?, ?)", row)


def test_names_that_go_are_lost_and_values_that_change_are_not() -> None:
    before = {"a": {"label": "x", "room": "1"}, "b": {"label": "x", "room": "1"}, "c": {"label": "x"}}
    now = {"a": {"label": "y"}, "b": {"label": "y", "room": "2"}, "c": {"label": "y", "shelf": "1"}}
    assert losing(now, before, before) == (1, ["room"])


def test_the_listing_that_the_index_was_sent_from_counts_and_not_a_later_one() -> None:
    sent, later = {"a": {"label": "x"}}, {"a": {"other": "x"}}
    assert losing({"a": {}}, sent, later, sent) == (1, ["label"])
    assert losing({"a": {"label": "y"}}, sent, later, sent) == (0, [])


def test_where_no_listing_is_what_was_sent_the_newest_counts() -> None:
    assert losing({"a": {}}, {"a": {"label": "x"}}, {"a": {"newest": "y"}}, {"a": {"oldest": "z"}}) == (1, ["newest"])


def test_unknown_rows_lose_nothing_that_is_known() -> None:
    assert losing({"a": {}}, {"a": {"label": "x"}}, {"b": {"label": "x"}}) == (0, [])


metadata = st.dictionaries(st.sampled_from(["label", "a b", 'quo"te', "ü", "$.x"]), st.sampled_from(["1", "2"]))
labels = st.dictionaries(st.sampled_from(["a", "b", "c"]), metadata)


@settings(max_examples=40)
@given(labels, labels)
def test_a_row_loses_what_it_had_and_has_no_more(now: Labels, before: Labels) -> None:
    lost = {id: before[id].keys() - now[id].keys() for id in now.keys() & before.keys()}
    rows, names = losing(now, before, before)
    assert rows == sum(1 for gone in lost.values() if gone)
    assert set(names) <= set().union(*lost.values())
    assert bool(names) == bool(rows)
