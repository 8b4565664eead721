"""Facets: which values the items have, how often, and when they are counted."""

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.errors import BadFilterError, TransientError
from pinery.records import Item
from pinery.sources.metadata import clean
from pinery.web import facets, items
from pinery.web.app import build
from pinery.web.facets import Counting
from pinery.web.site import ShownCorpus
from tests.corpora import config
from tests.vectors import written_listing
from tests.web.asking import shown, site_of

ODD = ['"', "it's", "\\", "ä/b~c", "\x1b", "🐦", "", "true", "1"]


def metadata(number: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "label": f"label {number % 3}",
        "year": 1950 + number % 70,
        "share": number / 1000,
        "camera": f"C{number % 50:02}",
        "seen": number % 4 == 0,
        "tags": ["a"] if number % 2 else ["a", "b", "a"],
        'a/b~"c"\\': ODD[number % len(ODD)],
        "mixed": [1, "1", True, "true", 2.5][number % 5],
    }
    if number % 10 == 0:
        found["rare"] = -5
    return found


def told_as(value: Any) -> str:
    """A text that is the same for equal values of one type, such as 0 and 0.0."""
    return json.dumps(value if isinstance(value, str | bool) else float(value))


ROWS = 900


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    made = config(tmp_path / "images", tmp_path / "state")
    corpus = Corpus(load_config(made))
    listed = [Item(f"{n:04}", "file:///x", "1", 1, clean(metadata(n))) for n in range(ROWS)]
    listed.append(Item("none", "file:///x", "1", 1, "{}"))
    name = f"{corpus.paths.listings}/20260101T000000000000Z-000000.parquet"
    corpus.store.publish(name, written_listing(tmp_path, listed))
    return made


def facet(corpus: ShownCorpus, key: str, filter: dict[str, Any] | None = None) -> dict[str, Any]:
    found = facets.of(corpus, filter, wait=60)
    assert found["ready"] is True
    one: dict[str, Any] = next(one for one in found["facets"] if one["key"] == key)
    return one


def test_each_field_has_its_kind_and_its_values_as_often_as_they_occur(settings: dict[str, Any]) -> None:
    with shown(settings) as corpus:
        found = facets.of(corpus, wait=60)
        assert found["total"] == ROWS + 1
        keys = [one["key"] for one in found["facets"]]
        assert set(keys) == set(metadata(0))
        assert keys[-1] == "rare", "fields that few items have come last"
        kinds = {one["key"]: one["kind"] for one in found["facets"]}
        numbers = {"year", "share", "rare"}
        assert {key for key, kind in kinds.items() if kind == "numbers"} == numbers
        assert {key for key, kind in kinds.items() if kind == "lists"} == {"tags"}
        for one in found["facets"]:
            true = Counter(
                told_as(value)
                for number in range(ROWS)
                if one["key"] in metadata(number)
                for value in (set(metadata(number)["tags"]) if one["key"] == "tags" else [metadata(number)[one["key"]]])
            )
            assert one["distinct"] == len(true), one["key"]
            told = {told_as(value["value"]): value["count"] for value in one["values"]}
            assert len(told) == min(20, len(true))
            assert all(true[value] == count for value, count in told.items()), one["key"]
            assert sorted(told.values()) == sorted(true.values())[-20:]


def test_what_a_facet_counts_is_what_its_filter_finds(settings: dict[str, Any]) -> None:
    with shown(settings) as corpus:
        for one in facets.of(corpus, wait=60)["facets"]:
            for value in one["values"][:9]:
                found = items.page(corpus, filter={one["key"]: value["value"]}, limit=1)
                assert found["total"] == value["count"], (one["key"], value)
            for part in one["bins"]:
                found = items.page(corpus, filter={one["key"]: {"$gte": part["low"], "$lt": part["high"]}}, limit=1)
                assert found["total"] == part["count"], (one["key"], part)


def test_numbers_have_ranges_of_a_round_width_that_hold_them_all(settings: dict[str, Any]) -> None:
    with shown(settings) as corpus:
        year = facet(corpus, "year")
        assert (year["low"], year["high"]) == (1950, 2019)
        assert [(one["low"], one["high"]) for one in year["bins"]] == [(n, n + 10) for n in range(1950, 2020, 10)]
        assert sum(one["count"] for one in year["bins"]) == ROWS
        assert facet(corpus, "rare")["bins"] == [{"low": -5, "high": -4, "count": 90}]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0.0, 1.0),
        (-1e300, 1e300),
        (-1.7e308, 1.7e308),
        (5e-324, 1e-323),
        (1e15, 1e15 + 1),
        (-0.3, 0.1),
        (7, 7),
        (1, 1e9),
    ],
)
def test_ranges_hold_any_interval(low: float, high: float) -> None:
    edges = facets._edges(low, high)
    assert edges == sorted(set(edges))
    assert 2 <= len(edges) <= facets.BINS + 3
    assert edges[0] <= low
    assert edges[-1] > high


def test_a_filter_changes_what_is_counted_and_a_wrong_one_is_refused(settings: dict[str, Any]) -> None:
    with shown(settings) as corpus:
        even = facets.of(corpus, {"tags": "b"}, wait=60)
        assert even["total"] == ROWS // 2
        assert facet(corpus, "tags", {"tags": "b"})["values"] == [
            {"value": "a", "count": 450},
            {"value": "b", "count": 450},
        ]
        nothing = facets.of(corpus, {"label": "none"}, wait=60)
        assert nothing == {"ready": True, "total": 0, "facets": []}
        with pytest.raises(BadFilterError):
            facets.of(corpus, {"label": {"$like": "x"}}, wait=60)


def test_a_field_of_many_values_can_be_searched(settings: dict[str, Any]) -> None:
    with shown(settings) as corpus:
        assert facet(corpus, "camera")["distinct"] == 50
        assert [one["value"] for one in facets.values(corpus, "camera", "c4")] == [f"C{n}" for n in range(40, 50)]
        assert facets.values(corpus, "year", "200")[0] == {"value": 2000, "count": 13}
        assert facets.values(corpus, "camera", "zz") == []
        assert facets.values(corpus, "none", "") == []
        assert facets.values(corpus, "label", "LABEL 1", {"year": {"$lt": 1960}})[0]["value"] == "label 1"
        assert {one["value"] for one in facets.values(corpus, 'a/b~"c"\\', "")} == set(ODD)


def test_counts_are_made_once_beside_the_requests_and_remembered() -> None:
    counting, go, made = Counting(), threading.Event(), list[str]()

    def count() -> str:
        go.wait(30)
        made.append("once")
        return "counted"

    assert counting.counted(("a",), count, wait=0) is None
    assert counting.counted(("a",), count, wait=0.01) is None
    go.set()
    assert counting.counted(("a",), count, wait=30) == "counted"
    assert counting.counted(("a",), count, wait=0) == "counted"
    assert made == ["once"]
    counting.close()


def test_too_many_counts_are_refused() -> None:
    counting, go = Counting(), threading.Event()
    for number in range(facets.MOST_WAITING):
        counting.counted((str(number),), lambda: go.wait(30), wait=0)
    with pytest.raises(TransientError, match="too many filters are being counted"):
        counting.counted(("more",), lambda: True, wait=0)
    go.set()
    counting.close()


def test_what_fails_is_told_and_tried_again() -> None:
    counting = Counting()

    def fail() -> None:
        raise BadFilterError("wrong")

    with pytest.raises(BadFilterError):
        counting.counted(("a",), fail, wait=30)
    assert counting.counted(("a",), lambda: 1, wait=30) == 1
    counting.close()


def test_the_api_waits_as_long_as_it_is_asked_to(settings: dict[str, Any]) -> None:
    site = site_of(settings)
    with TestClient(build(site), base_url="http://127.0.0.1:8765") as client:
        found = client.get("/api/facets?wait=60").json()
        assert found["ready"] is True
        one = client.get("/api/facets", params={"key": "camera", "starts_with": "C1", "wait": 60}).json()
        assert [value["value"] for value in one["values"]] == [f"C{n}" for n in range(10, 20)]
        for wrong in ("wait=61", "wait=-1", "wait=nan", "key=" + "x" * 600):
            assert client.get(f"/api/facets?{wrong}").status_code == 422, wrong
