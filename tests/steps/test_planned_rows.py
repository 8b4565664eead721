"""Work that is written down: one range a part, the rows of a part in the order of the listing, metadata beside them."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pinery.records import Work, metadata_file
from pinery.steps.planned_rows import upsert_work
from tests.filled import current_listing, holding


def test_rows_are_ranges_by_part_in_the_order_of_the_listing_with_their_metadata(
    filled: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "rows.parquet"
    with holding(filled) as held, held.planned(current_listing(held)) as con:
        con.execute("CREATE TABLE wanted AS SELECT part, position, metadata_hash FROM items ORDER BY random()")
        work = upsert_work(con, path, "wanted")
        expected = con.execute("SELECT part, count(*) FROM items GROUP BY part ORDER BY part").fetchall()
        listed = con.execute("SELECT id, metadata FROM listing ORDER BY position").fetchall()
    assert [(one.part, one.rows) for one in work] == expected
    assert [one.start for one in work] == [sum(rows for _, rows in expected[:at]) for at in range(len(expected))]
    rows, metadata = pq.read_table(path), pq.read_table(metadata_file(path))
    order = [id for id, _ in listed]
    for one in work:
        ids = rows["id"].to_pylist()[one.start : one.stop]
        assert ids == sorted(ids, key=order.index)
    assert metadata["metadata"].to_pylist() == [dict(listed)[id] for id in rows["id"].to_pylist()]


def test_no_rows_are_no_work(filled: dict[str, Any], tmp_path: Path) -> None:
    with holding(filled) as held, held.planned(current_listing(held)) as con:
        work: tuple[Work, ...] = upsert_work(con, tmp_path / "rows.parquet")
    assert work == ()
