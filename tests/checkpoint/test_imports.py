"""Records of bulk imports are found again by later runs, in the order of their making."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.imports import ImportRecord, ImportRecords
from pinery.checkpoint.root import IndexPaths
from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import DamagedError
from pinery.parquet.files import TableWriter
from pinery.records import LEDGER_SCHEMA

PATHS = IndexPaths("corpus/indexes/pinecone/name/ns")
FIRST = ImportRecord("20260101T000000000000Z-000001", "s3://b/exports/1", "inc")
SECOND = ImportRecord("20260102T000000000000Z-000000", "s3://b/exports/2", "inc", 12, "1", "ready")


def manifest_file(folder: Path, *ids: str) -> Path:
    folder.mkdir(exist_ok=True)
    rows = {
        "id": list(ids),
        "version": ["v"] * len(ids),
        "metadata_hash": ["h"] * len(ids),
        "deleted": [False] * len(ids),
    }
    with TableWriter(folder / "manifest.parquet", LEDGER_SCHEMA) as writer:
        writer.append(pa.RecordBatch.from_pydict(rows, schema=LEDGER_SCHEMA))
    return folder / "manifest.parquet"


def test_records_come_oldest_first_as_they_were_written_last(store: Store) -> None:
    records = ImportRecords(store, PATHS)
    assert records.all() == []
    records.write(SECOND)
    records.write(FIRST)
    assert records.all() == [FIRST, SECOND]
    done = replace(SECOND, state="failed", error="the plan has none")
    records.write(done)
    assert ImportRecords(store, PATHS).all() == [FIRST, done]
    assert ImportRecords(store, IndexPaths("corpus/indexes/pinecone/name/another")).all() == []


def test_files_of_other_programs_are_no_records(store: Store) -> None:
    records = ImportRecords(store, PATHS)
    records.write(FIRST)
    store.write(f"{PATHS.imports}/{FIRST.name} (conflicted copy).json", b"{")
    assert records.all() == [FIRST]


def test_a_manifest_is_read_as_published_and_goes_with_the_export(store: Store, tmp_path: Path) -> None:
    records = ImportRecords(store, PATHS)
    records.write(FIRST)
    records.publish_manifest(FIRST, 1, manifest_file(tmp_path / "made", "c"))
    records.publish_manifest(FIRST, 0, manifest_file(tmp_path / "made", "a", "b"))
    assert [pq.read_table(path)["id"].to_pylist() for path in records.manifest(FIRST)] == [["a", "b"], ["c"]]
    assert records.manifest(SECOND) == []
    store.write("exports/1/ns/part-00000000.parquet", b"rows")
    store.write("exports/2/ns/part-00000000.parquet", b"rows of another")
    records.remove_files(FIRST, "exports/1/ns")
    assert (store.names("exports/1/ns"), records.manifest(FIRST)) == ([], [])
    assert store.names("exports/2/ns") == ["part-00000000.parquet"]
    assert records.all() == [FIRST], "what became of it stays known"


@pytest.mark.parametrize("text", [b"", b"[]", b'{"name": "a"}', b'{"name": 1, "uri": 2, "incarnation": 3, "new": 4}'])
def test_a_damaged_record_is_told_and_never_taken_for_none(tmp_path: Path, text: bytes) -> None:
    store = LocalStore(tmp_path)
    store.write(f"{PATHS.imports}/{FIRST.name}.json", text)
    with pytest.raises(DamagedError, match=f"{FIRST.name}.json is damaged: .* --full --repair"):
        ImportRecords(store, PATHS).all()


def test_a_damaged_manifest_is_told(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "state")
    records = ImportRecords(store, PATHS)
    records.publish_manifest(FIRST, 0, manifest_file(tmp_path / "made", "a"))
    path = tmp_path / "state" / PATHS.imports / FIRST.name / "00000000.parquet"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DamagedError, match="is damaged"):
        records.manifest(FIRST)
