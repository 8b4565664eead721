"""Pages of items: every item once, by cursor or by position, also while the listing changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.errors import BadFilterError, QueryError, UnknownItemError
from pinery.parquet.files import ROW_GROUP_ROWS
from pinery.records import Item
from pinery.web import items
from pinery.web.site import ShownCorpus
from tests.corpora import config, paint
from tests.filled import bring
from tests.processes import wait_until
from tests.vectors import written_listing
from tests.web.asking import shown


def publish(settings: dict[str, Any], folder: Path, number: int, listed: list[Item]) -> None:
    """Make these items the corpus' current listing."""
    corpus = Corpus(load_config(settings))
    name = f"{corpus.paths.listings}/2026010{number}T000000000000Z-000000.parquet"
    folder.mkdir(exist_ok=True)
    corpus.store.publish(name, written_listing(folder, listed))


def item(number: int, **metadata: Any) -> Item:
    """An item of a listing that is not in the order of its ids."""
    id = f"{(number * 7919) % 100_003:06}"
    return Item(
        id, f"file:///{id}.jpg", "1", 1, json.dumps(metadata or {"parity": "even" if number % 2 == 0 else "odd"})
    )


def walked(corpus: ShownCorpus, **asked: Any) -> list[dict[str, Any]]:
    """All items, page by page."""
    found, cursor = list[dict[str, Any]](), None
    while True:
        page = items.page(corpus, cursor=cursor, **asked)
        assert page["start"] == len(found)
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in found]


ROWS = 2 * ROW_GROUP_ROWS + 700


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return config(tmp_path / "images", tmp_path / "state")


def test_pages_have_every_item_once_in_the_order_of_the_listing(settings: dict[str, Any], tmp_path: Path) -> None:
    all_items = [item(n) for n in range(ROWS)]
    publish(settings, tmp_path, 1, all_items)
    with shown(settings) as corpus:
        found = walked(corpus, limit=500)
        assert ids(found) == [one.id for one in all_items]
        assert [one["position"] for one in found] == list(range(ROWS))
        even = walked(corpus, limit=499, filter={"parity": "even"})
        assert ids(even) == [one.id for one in all_items[::2]]
        assert [one["position"] for one in even] == list(range(len(even)))
        at_end = items.page(corpus, start=ROWS - 2, limit=60)
        assert (ids(at_end["items"]), at_end["next"]) == ([one.id for one in all_items[-2:]], None)
        assert (at_end["total"], at_end["start"]) == (ROWS, ROWS - 2)
        beyond = items.page(corpus, start=ROWS + 5)
        assert (beyond["items"], beyond["next"], beyond["total"]) == ([], None, ROWS)


def test_items_that_lie_far_apart_are_found_in_their_order(settings: dict[str, Any], tmp_path: Path) -> None:
    rows = 12 * ROW_GROUP_ROWS
    publish(settings, tmp_path, 1, [item(n, nth=n % 9000, text="it's \\ \u00e4") for n in range(rows)])
    with shown(settings) as corpus:
        page = items.page(corpus, filter={"nth": 77}, limit=100)
        wanted = list(range(77, rows, 9000))
        assert ids(page["items"]) == [item(n).id for n in wanted]
        assert {one["metadata"]["text"] for one in page["items"]} == {"it's \\ \u00e4"}
        assert page["total"] == len(wanted)


def test_a_cursor_is_followed_into_a_newer_listing(settings: dict[str, Any], tmp_path: Path) -> None:
    before = [item(n) for n in range(100)]
    publish(settings, tmp_path, 1, before)
    with shown(settings) as corpus:
        first = items.page(corpus, limit=10)
        odd = items.page(corpus, limit=10, filter={"parity": "odd"})
        # Three items go before the place of the cursor, one of them the last that the page had, and two come.
        after = [item(n) for n in (200, 201)] + [one for n, one in enumerate(before) if n not in (2, 3, 9)]
        publish(settings, tmp_path / "two", 2, after)
        corpus.catalogue.now(anew=True)
        rest = items.page(corpus, limit=500, cursor=first["next"])
        assert ids(rest["items"]) == [one.id for one in before[10:]]
        odd_rest = items.page(corpus, limit=500, cursor=odd["next"], filter={"parity": "odd"})
        assert ids(odd_rest["items"]) == [one.id for one in before[21::2]]
        publish(settings, tmp_path / "three", 3, before[50:])
        corpus.catalogue.now(anew=True)
        gone = items.page(corpus, limit=5, cursor=first["next"])
        assert gone["start"] == 10, "none of its items is left: it goes on at its position"


def test_a_listing_that_is_removed_while_it_is_shown_gives_way_to_the_newer_one(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    publish(settings, tmp_path, 1, [item(n) for n in range(10)])
    with shown(settings) as corpus:
        assert items.page(corpus)["total"] == 10
        publish(settings, tmp_path / "two", 2, [item(n) for n in range(4)])
        folder = Path(settings["state"]) / "test" / "listings"
        min(folder.glob("*.parquet")).unlink()
        assert items.page(corpus, filter={"parity": "even"})["total"] == 2
        assert items.page(corpus)["total"] == 4


@pytest.mark.parametrize("cursor", ["", "x", "e30", "bm90IGpzb24", "\u00e4", "eyJsaXN0aW5nIjoxfQ", "A" * 9000])
def test_a_cursor_of_somebody_else_is_refused(settings: dict[str, Any], tmp_path: Path, cursor: str) -> None:
    publish(settings, tmp_path, 1, [item(1)])
    with shown(settings) as corpus, pytest.raises(QueryError, match="the cursor is none that this server gave"):
        items.page(corpus, cursor=cursor)


def test_wrong_pages_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    publish(settings, tmp_path, 1, [item(n) for n in range(9)])
    with shown(settings) as corpus:
        cursor = items.page(corpus, limit=2)["next"]
        with pytest.raises(QueryError, match="belongs to another filter"):
            items.page(corpus, cursor=cursor, filter={"parity": "odd"})
        with pytest.raises(QueryError, match="`cursor` or `start`, not both"):
            items.page(corpus, cursor=cursor, start=3)
        for limit in (0, 501):
            with pytest.raises(QueryError, match=f"limit is {limit}"):
                items.page(corpus, limit=limit)
        with pytest.raises(BadFilterError, match="unknown operator"):
            items.page(corpus, filter={"parity": {"$like": "o"}})


def test_before_the_first_run_there_are_no_items(settings: dict[str, Any]) -> None:
    with shown(settings) as corpus:
        assert items.page(corpus) == {"items": [], "next": None, "total": 0, "start": 0}
        with pytest.raises(UnknownItemError, match="lists no item 'a'"):
            items.one(corpus, "a")


def test_a_deleted_item_is_not_found_any_more_and_a_changed_one_has_another_version(tmp_path: Path) -> None:
    for number in range(3):
        paint(tmp_path / "images" / f"red-{number}.jpg", "red", number)
    settings = config(
        tmp_path / "images", tmp_path / "state", run={"part_rows": 5, "delete_guard": 1, "change_guard": 1}
    )
    bring(settings)
    with shown(settings) as corpus:
        before = {one["id"]: one["thumb"] for one in items.page(corpus)["items"]}
        assert items.one(corpus, "red-1.jpg").metadata == {"label": "red"}
        (tmp_path / "images" / "red-0.jpg").unlink()
        paint(tmp_path / "images" / "red-1.jpg", "blue", 7)
        bring(settings)
        corpus.catalogue.now(anew=True)
        after = {one["id"]: one["thumb"] for one in items.page(corpus)["items"]}
        assert list(after) == ["red-1.jpg", "red-2.jpg"]
        assert after["red-1.jpg"] != before["red-1.jpg"]
        assert after["red-2.jpg"] == before["red-2.jpg"]
        wait_until(lambda: "red-0.jpg" not in items.of(corpus, ["red-0.jpg"]))
        assert set(items.of(corpus, [*before])) == set(after)
