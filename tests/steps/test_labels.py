"""Labels are looked up in the listing, as what they are there."""

import json
from pathlib import Path

from pinery.records import Item
from pinery.steps.labels import labels_of
from tests.vectors import written_listing


def test_labels_come_as_json_and_only_where_there_is_one(tmp_path: Path) -> None:
    metadata = [
        {"label": "cat"},
        {"label": 3},
        {"label": "3"},
        {"label": ["a", "b"]},
        {"label": None},
        {"other": 1},
        {},
    ]
    items = [Item(f"i{at}", "file:///x", "v1", 1, json.dumps(one)) for at, one in enumerate(metadata)]
    listing = written_listing(tmp_path, items)
    expected = {"i0": '"cat"', "i1": "3", "i2": '"3"', "i3": '["a", "b"]'}
    assert labels_of(listing, [item.id for item in items] + ["nobody", "i0"]) == expected
    assert labels_of(listing, ["i2", "i6"]) == {"i2": '"3"'}
    assert labels_of(listing, []) == {}
