"""What a click makes of a filter, which Pinecone's language must be able to say, and which loses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from pinery.indexes.lance_filter import to_sql
from pinery.web.choices import bounds, chosen, ranged, toggled, without


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (None, "red", {"label": {"$in": ["red"]}}),
        ({"label": {"$in": ["red"]}}, "blue", {"label": {"$in": ["red", "blue"]}}),
        ({"label": {"$in": ["red", "blue"]}}, "red", {"label": {"$in": ["blue"]}}),
        ({"label": {"$in": ["red"]}, "year": 1990}, "red", {"year": 1990}),
        ({"label": "red"}, "blue", {"label": {"$in": ["red", "blue"]}}),
        ({"label": {"$eq": "red"}}, "red", {}),
        ({"label": {"$in": [1]}}, True, {"label": {"$in": [1, True]}}),
        (
            {"label": {"$ne": "green"}},
            "red",
            {"$and": [{"label": {"$ne": "green"}}, {"label": {"$in": ["red"]}}]},
        ),
    ],
)
def test_a_value_is_chosen_or_no_longer(before: dict[str, Any] | None, value: Any, after: dict[str, Any]) -> None:
    assert toggled(before, "label", value) == after
    assert not after or to_sql(after)


@pytest.mark.parametrize(
    ("before", "low", "high", "after"),
    [
        (None, 1, None, {"year": {"$gte": 1}}),
        ({"year": {"$gte": 1}}, None, 2.5, {"year": {"$lte": 2.5}}),
        ({"year": {"$gte": 1, "$lte": 2}, "label": "red"}, None, None, {"label": "red"}),
        ({"year": {"$exists": True}}, 1, 2, {"$and": [{"year": {"$exists": True}}, {"year": {"$gte": 1, "$lte": 2}}]}),
        ({"year": {"$exists": True}}, None, None, {"year": {"$exists": True}}),
    ],
)
def test_a_range_takes_the_place_of_the_one_before(
    before: dict[str, Any] | None, low: float | None, high: float | None, after: dict[str, Any]
) -> None:
    assert ranged(before, "year", low, high) == after
    assert not after or to_sql(after)


def test_what_is_chosen_is_read_from_a_filter() -> None:
    filter = {"label": {"$in": ["red", "blue"]}, "year": {"$gte": 3}, "place": {"$ne": "x"}, "$or": [{"label": "red"}]}
    assert [chosen(filter, key) for key in ("label", "year", "place", "$or", "none")] == [
        ["red", "blue"],
        [],
        [],
        [],
        [],
    ]
    assert [bounds(filter, key) for key in ("year", "label", "none")] == [(3, None), (None, None), (None, None)]
    assert without(filter, "label") == {key: filter[key] for key in ("year", "place", "$or")}
