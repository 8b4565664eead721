"""Listings on disk: every item once, in row groups that fit into memory whatever their metadata."""

from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.listings import listed_batches, write_listing
from pinery.checkpoint.store import LocalStore
from pinery.errors import TerminalError
from pinery.records import LISTING_SCHEMA, Item


def batch(*items: Item) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([asdict(item) for item in items], schema=LISTING_SCHEMA)


def item(number: int, metadata: str = "{}", error: str | None = None, group: str | None = None) -> Item:
    return Item(f"i{number}", f"file:///i{number}", "v1", number, metadata, error, group)


def test_items_are_written_in_order_and_told_as_they_come(tmp_path: Path) -> None:
    told: list[int] = []
    items = [item(number, error="infinity" if number == 3 else None, group=f"g{number % 2}") for number in range(200)]
    batches = [batch(*items[:128]), batch(*items[128:])]
    assert write_listing(iter(batches), tmp_path / "listing.parquet", told.append) == 200
    table = pq.read_table(tmp_path / "listing.parquet")
    assert [Item(**row) for row in table.to_pylist()] == items
    assert told == [128, 72]


def test_row_groups_are_bounded_by_bytes(tmp_path: Path) -> None:
    text = '{"text":"' + "x" * 400_000 + '"}'
    write_listing((batch(item(number, text)) for number in range(150)), tmp_path / "listing.parquet", lambda _: None)
    with pq.ParquetFile(tmp_path / "listing.parquet") as file:
        groups = [file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups)]
    assert sum(groups) == 150
    assert max(groups) * len(text) < 32 << 20


def test_an_empty_listing_has_its_columns(tmp_path: Path) -> None:
    assert write_listing(iter(()), tmp_path / "listing.parquet", lambda _: None) == 0
    schema = pq.read_schema(tmp_path / "listing.parquet")
    assert schema.field("error").type == schema.field("group").type == pa.string()


def test_a_published_listing_is_read_in_batches_of_some_columns(tmp_path: Path) -> None:
    path = tmp_path / "listing.parquet"
    items = [item(number) for number in range(2500)]
    write_listing([batch(*items)], path, lambda _: None)
    store = LocalStore(tmp_path / "state")
    store.publish("l.parquet", path)
    batches = list(listed_batches(store, "l.parquet", ["id", "uri"], 1000))
    assert [some.num_rows for some in batches] == [1000, 1000, 500]
    assert [row["uri"] for some in batches for row in some.to_pylist()] == [one.uri for one in items]
    with pytest.raises(TerminalError, match=r"gone\.parquet does not exist"):
        list(listed_batches(store, "gone.parquet", ["id"]))
