"""The tables that planning works on: over files that were checked, in a bounded memory, gone at the end."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from pinery.corpus import tables
from pinery.corpus.stored import current_listing
from pinery.corpus.tables import connect, define_tables, planned
from pinery.duckdb_files import scan
from pinery.errors import DamagedError, TerminalError
from tests.filled import opened


def counts(con: Any) -> dict[str, int]:
    names = ("listing", "checkpoint", "ledger", "rejected")
    return {name: con.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def test_each_table_has_what_the_state_has(made: dict[str, Any], tmp_path: Path) -> None:
    corpus = opened(made)
    listing, target = current_listing(corpus), corpus.target
    with connect(tmp_path) as con:
        define_tables(con, listing, target.checkpoint, target.recorded_ledger())
        assert counts(con) == {"listing": 12, "checkpoint": 12, "ledger": 12, "rejected": 0}
        parts = con.execute("SELECT DISTINCT part FROM checkpoint ORDER BY part").fetchall()
        assert parts == [("part-00000000",), ("part-00000001",), ("part-00000002",)]
        positions = con.execute("SELECT position FROM listing ORDER BY position").fetchall()
        assert positions == [(at,) for at in range(12)]


def test_what_is_not_there_is_an_empty_table(made: dict[str, Any], tmp_path: Path) -> None:
    with planned(tmp_path, current_listing(opened(made)), None, None, limit=5) as con:
        assert counts(con) == {"listing": 12, "checkpoint": 0, "ledger": 0, "rejected": 0}
        assert con.execute("SELECT count(*) FROM to_embed").fetchall() == [(5,)]


def test_nothing_is_left_of_a_connection(tmp_path: Path) -> None:
    with connect(tmp_path) as con:
        con.execute("CREATE TABLE numbers AS SELECT range AS n FROM range(100000)")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_needs_more_than_its_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MEMORY", "16MB")
    query = "SELECT list(repeat(range::VARCHAR, 100)) FROM range(2000000)"
    with pytest.raises(TerminalError, match="more than the 16MB that it may use"), connect(tmp_path) as con:
        con.execute(query).fetchall()


def test_a_damaged_listing_is_never_planned_from(filled: dict[str, Any], tmp_path: Path) -> None:
    listing = current_listing(opened(filled))
    data = bytearray(listing.read_bytes())
    data[len(data) // 2] ^= 1
    listing.write_bytes(data)
    with pytest.raises(DamagedError, match="is damaged"), planned(tmp_path, listing, None, None):
        pass


@pytest.mark.parametrize("name", ["old.parquet", "gone.parquet"])
def test_a_file_that_duckdb_can_not_read_is_told_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "old.parquet").write_bytes(b"PAR1 no footer PAR1")
    with pytest.raises(TerminalError, match=rf"can't be read: .*{name}.* delete it"), connect(tmp_path) as con:
        scan(con, tmp_path / name).fetchall()


def test_a_mistake_in_a_query_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(duckdb.Error, match="nothing_like_it"), connect(tmp_path) as con:
        con.execute("SELECT * FROM nothing_like_it")
