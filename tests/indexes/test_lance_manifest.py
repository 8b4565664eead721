"""The rows of a Lance table by its manifest are those that Lance itself counts, whatever was done to the table."""

from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import pytest

from pinery.indexes.lance_manifest import rows_by_manifest


def rows(first: int, count: int) -> pa.Table:
    return pa.table({"id": [str(number) for number in range(first, first + count)], "value": [1.0] * count})


@pytest.fixture
def table(tmp_path: Path) -> Any:
    return lancedb.connect(tmp_path).create_table("rows", rows(0, 500))


def test_it_counts_what_lance_counts_after_every_kind_of_write(table: Any, tmp_path: Path) -> None:
    folder = tmp_path / "rows.lance"
    steps = [
        lambda: table.add(rows(500, 300)),
        lambda: table.delete("id IN ('1', '2', '700')"),
        lambda: table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows(790, 20)),
        table.optimize,
        lambda: table.delete("id = '3'"),
        lambda: table.restore(2),
        lambda: table.delete("true"),
        lambda: table.add(rows(0, 1)),
    ]
    assert rows_by_manifest(folder) == 500
    seen = []
    for step in steps:
        step()
        assert rows_by_manifest(folder) == table.count_rows()
        seen.append(table.count_rows())
    assert seen == [800, 797, 807, 807, 806, 800, 0, 1]


def test_what_it_does_not_understand_is_left_to_lance(table: Any, tmp_path: Path) -> None:
    folder = tmp_path / "rows.lance"
    assert rows_by_manifest(tmp_path / "nothing.lance") is None
    newest = min((folder / "_versions").glob("*.manifest"))
    content = newest.read_bytes()
    for damaged in (b"", content[:-20], content[:-4] + b"OTHR", b"\xff" * 40 + content[-16:]):
        newest.write_bytes(damaged)
        assert rows_by_manifest(folder) is None
    newest.write_bytes(content)
    assert rows_by_manifest(folder) == 500
    (folder / "_versions" / "7.manifest").write_bytes(content)  # of a table with names of the older kind
    assert rows_by_manifest(folder) is None
