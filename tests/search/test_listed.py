"""Items are looked up by id in a listing: by a scan at first, then in a table."""

from pathlib import Path

import pytest

from pinery.checkpoint.store import LocalStore
from pinery.errors import DamagedError, TerminalError
from pinery.search.listed import ListedItem, ListedItems
from tests.vectors import labelled_items, written_listing

ROWS = 16384 + 100


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A store with one listing."""
    folder = tmp_path_factory.mktemp("state")
    store = LocalStore(folder)
    store.publish("l.parquet", written_listing(folder, labelled_items([f"label {n % 7}" for n in range(ROWS)])))
    return store


def test_a_scan_and_the_table_find_the_same(store: LocalStore) -> None:
    items = ListedItems(store, "l.parquet")
    ids = ["i0003", f"i{ROWS - 1:04}", "none", "i0003", "'; DROP TABLE items; --"]
    expected = {
        "i0003": ListedItem("i0003", "file:///i0003", "v1", {"label": "label 3"}),
        f"i{ROWS - 1}": ListedItem(f"i{ROWS - 1}", f"file:///i{ROWS - 1}", "v1", {"label": f"label {(ROWS - 1) % 7}"}),
    }
    assert items.of(ids) == expected
    assert items.of(ids) == expected, "the second look-up begins to fill the table"
    items.filled()
    assert items.of(ids) == expected
    many = [f"i{n:04}" for n in range(0, ROWS, 9)]
    assert set(items.of(many)) == set(many)
    assert items.of([]) == {}


def test_once_the_table_is_filled_the_listing_may_go(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "state")
    store.publish("l.parquet", written_listing(tmp_path, labelled_items([None] * 9)))
    items = ListedItems(store, "l.parquet")
    for _ in range(2):
        assert set(items.of(["i0001"])) == {"i0001"}
    items.filled()
    (tmp_path / "state" / "l.parquet").unlink()
    assert set(items.of(["i0001"])) == {"i0001"}
    with pytest.raises(TerminalError, match=r"l\.parquet does not exist"):
        ListedItems(store, "l.parquet").of(["i0001"])


def test_a_damaged_listing_is_named_each_time(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "state")
    store.publish("listings/l.parquet", written_listing(tmp_path, labelled_items([None] * 999)))
    path = tmp_path / "state" / "listings" / "l.parquet"
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    items = ListedItems(store, "listings/l.parquet")
    for _ in range(3):
        with pytest.raises(DamagedError, match=r"listings/l\.parquet is damaged"):
            items.of(["i0001"])
        items.filled()
