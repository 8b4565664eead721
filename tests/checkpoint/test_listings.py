"""Listings on disk: every item once, in row groups that fit into memory whatever their metadata."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pinery.checkpoint.listings import write_listing
from pinery.records import Item


def item(number: int, metadata: str = "{}", error: str | None = None) -> Item:
    return Item(f"i{number}", f"file:///i{number}", "v1", number, metadata, error)


def test_items_are_written_in_order_and_told_as_they_come(tmp_path: Path) -> None:
    told: list[int] = []
    items = [item(number, error="infinity" if number == 3 else None) for number in range(20_000)]
    assert write_listing(iter(items), tmp_path / "listing.parquet", told.append) == 20_000
    table = pq.read_table(tmp_path / "listing.parquet")
    assert [Item(**row) for row in table.to_pylist()] == items
    assert (sum(told), len(told)) == (20_000, 3)


def test_row_groups_are_bounded_by_bytes(tmp_path: Path) -> None:
    text = '{"text":"' + "x" * 400_000 + '"}'
    write_listing((item(number, text) for number in range(150)), tmp_path / "listing.parquet", lambda _: None)
    with pq.ParquetFile(tmp_path / "listing.parquet") as file:
        groups = [file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups)]
    assert sum(groups) == 150
    assert max(groups) * len(text) < 32 << 20


def test_an_empty_listing_has_its_columns(tmp_path: Path) -> None:
    assert write_listing(iter(()), tmp_path / "listing.parquet", lambda _: None) == 0
    assert pq.read_schema(tmp_path / "listing.parquet").field("error").type == pa.string()
