"""DuckDB reads and writes exactly the files that it is given, whatever their paths look like."""

import os
import re
import signal
import threading
from pathlib import Path

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pinery.duckdb_files import database, plain, scan, scratch_database, write
from pinery.errors import StoppedError

ROOT = Path(__file__).parent.parent

ODD = "[]?*{}!\\'\"`=%&#;:,@~$+-_. ()<>|^\n\tabAB12äé漢😀‮"
names = st.text(st.sampled_from(ODD), min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))


@settings(max_examples=60)
@given(names)
@example("version=2")
@example("photos [2024]")
@example("q?")
@example("**")
@example("back\\slash")
@example("it's")
@example("line\nbreak")
@example("100%20")
def test_a_file_below_any_folder_is_read_as_itself(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("odd") / name / "state"
    folder.mkdir(parents=True)
    decoy = folder.parent.parent / re.sub(r"[\[\]?*]", "a", name) / "state"
    decoy.mkdir(parents=True, exist_ok=True)
    with scratch_database(folder) as con:
        con.execute("SET memory_limit = '100MB'")
        write(con, "SELECT 'decoy' AS id, 'x' AS version, false AS deleted", decoy / "rows.parquet")
        write(con, "SELECT 'mine' AS id, 'v' AS version, true AS deleted", folder / "rows.parquet")
        found = scan(con, [folder / "rows.parquet"], filename=True, row_number=True)
        rows = found.select("id, version, deleted, filename, file_row_number").fetchall()
        assert rows == [("mine", "v", True, plain(folder / "rows.parquet"), 0)]
        assert sorted(found.columns) == ["deleted", "file_row_number", "filename", "id", "version"]
    assert [path.name for path in folder.iterdir()] == ["rows.parquet"]


@pytest.mark.parametrize("name", ["plain", "q?[1]", "a\\b", "version=2"])
def test_what_needs_more_memory_spills_below_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with scratch_database(folder) as con:
        con.execute("SET memory_limit = '40MB'; SET threads = 1")
        con.execute("CREATE TABLE numbers AS SELECT range AS n, md5(range::VARCHAR) AS text FROM range(1500000)")
        assert any(folder.iterdir())
        [(count,)] = con.execute("SELECT count(DISTINCT text) FROM numbers").fetchall()
    assert count == 1_500_000


def test_a_file_with_an_odd_name_is_read_as_itself(tmp_path: Path) -> None:
    path = tmp_path / "what?[1].parquet"
    with duckdb.connect() as con:
        write(con, "SELECT 7 AS n", tmp_path / "plain.parquet")
        (tmp_path / "plain.parquet").rename(path)
        assert scan(con, path).fetchall() == [(7,)]


def test_a_signal_amid_a_query_stops_the_run_and_is_no_fault_of_it() -> None:
    endless = "SELECT max(sha256(range::VARCHAR)) FROM range(2000000000)"

    def ask() -> None:
        with database() as con:
            con.execute("SET threads = 1")  # a second one would first end its share of the work
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            con.execute(endless).fetchall()

    with pytest.raises(StoppedError, match="stopped by a signal"):
        ask()


def test_no_other_file_opens_duckdb_or_tells_it_a_path() -> None:
    door = re.compile(r"\bread_parquet\(|\.write_parquet\(|\bCOPY \(|temp_directory|duckdb\.connect\(|\bATTACH\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for tree in ("pinery", "flows", "tasks")
        for path in (ROOT / tree).rglob("*.py")
        if path.name not in ("duckdb_files.py", "sidecar.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if door.search(line)
    ]
    assert found == []
