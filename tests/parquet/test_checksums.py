"""No byte of a state's Parquet file is believed that isn't what was written; files without checksums are read on."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.checkpoint.root import IndexPaths
from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import DamagedError
from pinery.parquet.checksums import MARK, CheckedFile, add_checksums, check_file
from pinery.parquet.files import TableWriter, part_writer, read_rows, stream
from pinery.records import LEDGER_SCHEMA, PART_SCHEMA

COLUMNS = ["id", "version", "sha256", "values", "error"]
PART = part_name(0)


def rows(count: int, dimension: int = 8) -> pa.RecordBatch:
    values = np.random.default_rng(0).normal(size=(count, dimension)).astype(np.float32)
    columns = {
        "id": [f"i{number}" for number in range(count)],
        "version": ["v"] * count,
        "sha256": [f"{number:064x}" for number in range(count)],
        "values": values.tolist(),
        "error": ["broken" if number % 9 == 8 else None for number in range(count)],
    }
    return pa.RecordBatch.from_pydict(columns, schema=PART_SCHEMA)


def published(store: Store, count: int = 20, dimension: int = 8) -> Checkpoint:
    checkpoint = Checkpoint(store, "corpus/key/parts")
    path = store.scratch("making") / "part.parquet"
    with part_writer(path, dimension) as writer:
        writer.append(rows(count, dimension))
    checkpoint.publish(PART, path)
    return checkpoint


@pytest.fixture
def part(tmp_path: Path) -> tuple[Checkpoint, Path]:
    checkpoint = published(LocalStore(tmp_path / "state"))
    return checkpoint, tmp_path / "state" / "corpus/key/parts" / f"{PART}.parquet"


def notices(action: Callable[[], object]) -> bool:
    try:
        action()
    except DamagedError:
        return True
    return False


def test_any_flipped_bit_of_a_part_is_noticed_before_anything_reads_it(part: tuple[Checkpoint, Path]) -> None:
    checkpoint, path = part
    good = path.read_bytes()
    chosen = random.Random(1)
    for at in [*range(4), *range(len(good) - 1200, len(good)), *chosen.sample(range(len(good)), 500)]:
        damaged = bytearray(good)
        damaged[at] ^= 1 << chosen.randrange(8)
        path.write_bytes(damaged)
        assert notices(lambda: list(checkpoint.batches(PART, COLUMNS))), f"byte {at} by pyarrow"
        assert notices(lambda: check_file(path, str(path))), f"byte {at} before DuckDB"
    path.write_bytes(good)
    assert pa.Table.from_batches(checkpoint.batches(PART, COLUMNS)).num_rows == 20


def test_readers_of_some_columns_are_told_of_damage_in_these(tmp_path: Path) -> None:
    checkpoint = published(LocalStore(tmp_path / "state"), 3000, 64)
    path = tmp_path / "state" / "corpus/key/parts" / f"{PART}.parquet"
    chunk = pq.read_metadata(path).row_group(0).column(3)
    assert chunk.path_in_schema.startswith("values")
    damaged = bytearray(path.read_bytes())
    damaged[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(damaged)
    assert checkpoint.key_files() == {PART: path}, "the vectors are not read for a plan"
    assert list(checkpoint.batches(PART, ["id", "version", "error"]))
    for read in (lambda: list(checkpoint.batches(PART, ["id", "values"])), lambda: checkpoint.row_group(PART, 5)):
        with pytest.raises(DamagedError, match="are not what was written"):
            read()


@pytest.mark.parametrize("spoil", ["empty", "zeros", "cut", "cut at its end", "longer", "a hole", "text", "four bytes"])
def test_a_spoilt_part_is_one_clear_error_that_names_its_file(part: tuple[Checkpoint, Path], spoil: str) -> None:
    checkpoint, path = part
    good = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "zeros": bytes(len(good)),
            "cut": good[: len(good) // 2],
            "cut at its end": good[:-1],
            "longer": good + b"x",
            "a hole": good[:100] + bytes(500) + good[600:],
            "text": b"no Parquet at all" * 9,
            "four bytes": b"PAR1",
        }[spoil]
    )
    for read in (lambda: list(checkpoint.batches(PART, COLUMNS)), checkpoint.key_files):
        with pytest.raises(DamagedError) as told:
            read()
        assert str(path) in str(told.value)
        assert f"rm {path}" in str(told.value)
        assert "images are embedded again" in str(told.value)


def test_a_part_on_s3_is_checked_as_well(s3_store: Store) -> None:
    checkpoint = published(s3_store, 50)
    assert pa.Table.from_batches(checkpoint.batches(PART, COLUMNS)).num_rows == 50
    with s3_store.open(f"corpus/key/parts/{PART}.parquet") as file:
        damaged = bytearray(file.read())
    damaged[60] ^= 4
    s3_store.write(f"corpus/key/parts/{PART}.parquet", bytes(damaged))
    for read in (lambda: list(checkpoint.batches(PART, COLUMNS)), checkpoint.key_files):
        with pytest.raises(DamagedError, match=rf"aws s3 rm s3://.*/corpus/key/parts/{PART}\.parquet"):
            read()


def test_a_damaged_entry_of_the_ledger_says_how_the_index_is_compared(tmp_path: Path) -> None:
    ledger = Ledger(LocalStore(tmp_path / "state"), IndexPaths("corpus/indexes/lance/name/ns"), 1, 1)
    name = ledger.enter(pa.table([["a"], ["v"], ["h"], [False]], schema=LEDGER_SCHEMA), tmp_path)
    path = tmp_path / "state/corpus/indexes/lance/name/ns/ledger" / name
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DamagedError, match=r"rm .*ledger.*`pinery verify CONFIG --full --repair`"):
        ledger.files()


def test_files_of_an_earlier_version_are_read_as_they_are(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "state")
    path = tmp_path / "old.parquet"
    table = pa.Table.from_batches([rows(100)])
    pq.write_table(table, path, use_byte_stream_split=["values.list.element"], use_dictionary=False, row_group_size=30)
    store.publish(f"corpus/key/parts/{PART}.parquet", path)
    checkpoint = Checkpoint(store, "corpus/key/parts")
    assert pa.Table.from_batches(checkpoint.batches(PART, COLUMNS)).equals(table)
    assert list(checkpoint.key_files()) == [PART]
    assert checkpoint.row_group(PART, 65)[0] == 60
    whole = tmp_path / "state/corpus/key/parts" / f"{PART}.parquet"
    whole.write_bytes(whole.read_bytes()[:-9])
    with pytest.raises(DamagedError, match="rm "):
        checkpoint.key_files()


def test_other_programs_read_a_part_and_its_page_checksums(part: tuple[Checkpoint, Path]) -> None:
    _, path = part
    table = pq.read_table(path, page_checksum_verification=True)
    assert table.schema.equals(PART_SCHEMA)
    assert table.equals(pa.Table.from_batches([rows(20)]))
    encodings = {encoding for at in range(5) for encoding in pq.read_metadata(path).row_group(0).column(at).encodings}
    assert encodings <= {"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY"}, "what every reader knows"
    with duckdb.connect() as con:
        assert con.sql(f"SELECT count(*), count(\"values\") FROM '{path}'").fetchall() == [(20, 20)]


def test_reading_anywhere_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with TableWriter(path, PART_SCHEMA, 64) as writer:
        writer.append(rows(700))
    data, chosen = path.read_bytes(), random.Random(2)
    with CheckedFile(path.open("rb"), str(path)) as file:
        assert file.has_checksums
        for _ in range(200):
            start = chosen.randrange(len(data))
            size = chosen.choice([1, 7, 300, 5000, -1])
            file.seek(start)
            expected = data[start:] if size < 0 else data[start : start + size]
            assert file.read(size) == expected
            assert file.tell() == start + len(expected)


def test_a_footer_longer_than_a_first_read_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with TableWriter(path, LEDGER_SCHEMA, 1) as writer:
        for number in range(400):
            columns = {"id": [f"i{number}"], "version": ["v"], "metadata_hash": ["h"], "deleted": [False]}
            writer.append(pa.RecordBatch.from_pydict(columns, schema=LEDGER_SCHEMA))
    good = path.read_bytes()
    assert len(good) - good.rindex(MARK) > 64 << 10
    assert read_rows(path, 5, 7)["id"].to_pylist() == ["i5", "i6"]
    for at in (20, good.rindex(MARK) - 30, good.rindex(MARK) + 3, good.rindex(MARK) + 40, len(good) - 6):
        damaged = bytearray(good)
        damaged[at] ^= 16
        path.write_bytes(damaged)
        assert notices(lambda: list(stream(path))), f"byte {at}"


def test_an_empty_table_has_checksums_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with TableWriter(path, LEDGER_SCHEMA):
        pass
    check_file(path, str(path))
    assert list(stream(path)) == []
    again = io.BytesIO(path.read_bytes())
    assert CheckedFile(again, "memory").has_checksums


def test_sums_are_added_to_a_file_of_another_writer(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with duckdb.connect() as con:
        con.sql("SELECT range AS n FROM range(300000)").write_parquet(str(path))
    add_checksums(path)
    assert pq.read_table(path).num_rows == 300_000
    damaged = bytearray(path.read_bytes())
    damaged[5000] ^= 1
    path.write_bytes(damaged)
    assert notices(lambda: check_file(path, str(path)))
