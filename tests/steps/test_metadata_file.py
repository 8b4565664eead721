"""The metadata of planned rows: beside them in their order, written within a bounded memory."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.listings import write_listing
from pinery.corpus import tables
from pinery.corpus.tables import connect
from pinery.steps import metadata_file
from pinery.steps.make_plan import _embed_work
from tests.corpora import item_batches
from tests.steps.work import items, planned


def test_a_plan_of_large_metadata_keeps_within_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MEMORY", "192MB")
    write_listing(item_batches(items(5000, 30_000)), tmp_path / "listing.parquet", lambda _: None)
    with connect(tmp_path) as con:
        planned(con, tmp_path / "listing.parquet")
        work = _embed_work(con, tmp_path, 0, lambda rows: 4096)
    assert [one.rows for one in work] == [4096, 904]


@pytest.mark.parametrize("bin_bytes", [1 << 30, 3000, 1])
def test_each_row_has_its_metadata_in_the_order_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bin_bytes: int
) -> None:
    monkeypatch.setattr(metadata_file, "BIN_BYTES", bin_bytes)
    listed = items(40, 500)
    listed[7] = replace(listed[7], error="no index takes it")
    write_listing(item_batches(listed), tmp_path / "listing.parquet", lambda _: None)
    with connect(tmp_path) as con:
        planned(con, tmp_path / "listing.parquet")
        con.execute("CREATE TABLE wanted AS SELECT 'part' AS part, position FROM items WHERE position % 2 = 1")
        metadata_file.write_metadata(con, tmp_path / "metadata.parquet", "wanted", "position DESC")
        metadata_file.write_metadata(con, tmp_path / "none.parquet", "(FROM wanted LIMIT 0)", "position")
    texts = pq.read_table(tmp_path / "metadata.parquet")["metadata"].to_pylist()
    assert texts == [None if at == 7 else listed[at].metadata for at in range(39, 0, -2)]
    assert pq.read_metadata(tmp_path / "none.parquet").num_rows == 0
    assert list(tmp_path.glob("*.bin-*")) == []
