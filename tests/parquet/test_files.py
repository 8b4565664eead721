"""Parquet files are written whole or not at all, in row groups that fit into memory, and never read if damaged."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinery.errors import DamagedError
from pinery.parquet import files
from pinery.parquet.files import TableWriter, open_parquet, read_rows, stream, vector_row_group

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


def rows(start: int, stop: int, size: int = 4) -> pa.RecordBatch:
    return pa.record_batch(
        {"n": range(start, stop), "text": [f"{n:0{size}}" for n in range(start, stop)]}, schema=SCHEMA
    )


def written(path: Path, count: int = 100, row_group_rows: int = 7) -> Path:
    with TableWriter(path, SCHEMA, row_group_rows) as writer:
        for start in range(0, count, 10):
            writer.append(rows(start, start + 10))
    return path


def groups(path: Path) -> list[int]:
    with pq.ParquetFile(path) as file:
        return [file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups)]


def test_any_reader_of_parquet_reads_what_was_written(tmp_path: Path) -> None:
    path = written(tmp_path / "file")
    assert pq.read_table(path)["n"].to_pylist() == list(range(100))
    assert max(batch.num_rows for batch in stream(path, ["text"], 50)) <= 50
    assert [text for batch in stream(path, ["text"]) for text in batch["text"].to_pylist()] == [
        f"{n:04}" for n in range(100)
    ]


def test_large_rows_make_a_row_group_before_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PENDING_BYTES", 20_000)
    with TableWriter(tmp_path / "file", SCHEMA) as writer:
        for start in range(0, 40, 10):
            writer.append(rows(start, start + 10, size=1000))
        assert writer.rows == 40
    assert groups(tmp_path / "file") == [20, 20]


def test_a_batch_of_another_schema_is_cast_or_refused(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "file", SCHEMA) as writer:
        writer.append(pa.record_batch({"n": pa.array([1], pa.int8()), "text": ["a"]}))
        with pytest.raises((pa.ArrowInvalid, ValueError)):
            writer.append(pa.record_batch({"other": [1]}))
    assert pq.read_table(tmp_path / "file").to_pylist() == [{"n": 1, "text": "a"}]


def test_a_file_that_was_given_up_is_taken_for_no_whole_one(tmp_path: Path) -> None:
    def fail() -> None:
        with TableWriter(tmp_path / "file", SCHEMA) as writer:
            writer.append(rows(0, 10))
            raise ValueError("given up")

    with pytest.raises(ValueError, match="given up"):
        fail()
    with pytest.raises(DamagedError):
        list(stream(tmp_path / "file"))


def test_for_other_programs_a_file_has_nothing_of_pinerys(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "file", SCHEMA, checksums=False) as writer:
        writer.append(rows(0, 3))
    assert pq.read_schema(tmp_path / "file").metadata is None
    assert pq.read_schema(written(tmp_path / "own")).metadata is not None


@pytest.mark.parametrize(("dimension", "expected"), [(0, 16384), (1, 16384), (512, 2048), (4096, 256), (1 << 20, 64)])
def test_a_row_group_of_vectors_stays_near_four_mebibytes(dimension: int, expected: int) -> None:
    assert vector_row_group(dimension) == expected


def test_a_range_of_rows_crosses_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "work.parquet"
    pq.write_table(pa.table({"n": list(range(100))}), path, row_group_size=7)
    for start, stop in [(0, 100), (5, 9), (6, 7), (7, 14), (93, 100)]:
        assert read_rows(path, start, stop)["n"].to_pylist() == list(range(start, stop))


def test_rows_of_no_range_are_none(tmp_path: Path) -> None:
    assert read_rows(written(tmp_path / "file"), 5, 5).num_rows == 0


def test_each_reader_tells_damage_and_none_reads_on(tmp_path: Path) -> None:
    path = written(tmp_path / "part.parquet", count=5000, row_group_rows=1000)
    column = pq.read_metadata(path).row_group(2).column(1)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 8
    path.write_bytes(data)
    for read in (
        lambda: list(stream(path)),
        lambda: read_rows(path, 2100, 2200),
    ):
        with pytest.raises(DamagedError, match=r"part\.parquet is damaged"):
            read()
    assert read_rows(path, 0, 1000)["n"].to_pylist() == list(range(1000)), "what is whole is read"


def test_what_is_no_parquet_is_damage_by_the_name_it_has_in_the_state(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    path.write_bytes(b"no Parquet at all")
    with pytest.raises(DamagedError, match="s3://bucket/file is damaged"), open_parquet(path, "s3://bucket/file"):
        pass
