"""An export has exactly what an import takes, one row per distinct vector, and a manifest of what it has."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pinery.checkpoint.imports import ImportRecord, ImportRecords
from pinery.corpus.tables import connect
from pinery.parquet.files import TableWriter
from pinery.steps.compare import IDS_SCHEMA
from pinery.steps.export import export_rows, manifest_rows, place_of
from tests.filled import current_listing, holding, rows_of

NAME = "20260101T000000000000Z-000001"


def test_what_is_to_be_upserted_is_exported_and_noted(filled: dict[str, Any]) -> None:
    with holding(filled | {"namespace": "fresh"}) as held:
        store, place = held.target.store, place_of(held, NAME)
        assert (place.folder, place.uri) == (f"exports/{NAME}/fresh", f"{store.root}/exports/{NAME}")
        records = ImportRecords(store, held.target.recorded_at)
        record = ImportRecord(NAME, place.uri, "incarnation")
        assert export_rows(held, current_listing(held), records, record) == 12
        tables = [pq.read_table(store.local(f"{place.folder}/{name}")) for name in store.names(place.folder)]
        assert {tuple(table.column_names) for table in tables} == {("id", "values", "metadata")}
        assert {table.schema.metadata for table in tables} == {None}, "nothing of Pinery's own is in it"
        exported = {row["id"]: row for table in tables for row in table.to_pylist()}
        stored = rows_of(filled)
        assert {id: tuple(row["values"]) for id, row in exported.items()} == {id: stored[id].values for id in stored}
        noted = [row for path in records.manifest(record) for row in pq.read_table(path).to_pylist()]
        assert {row["id"] for row in noted} == exported.keys()


def test_an_index_that_has_all_rows_needs_no_export(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        records = ImportRecords(held.target.store, held.target.recorded_at)
        assert export_rows(held, current_listing(held), records, ImportRecord(NAME, "uri", "incarnation")) == 0
        assert held.target.store.names(place_of(held, NAME).folder) == []


def test_what_the_index_lists_is_acknowledged_and_the_rest_only_intended(filled: dict[str, Any]) -> None:
    with holding(filled | {"namespace": "fresh"}) as held:
        records = ImportRecords(held.target.store, held.target.recorded_at)
        record = ImportRecord(NAME, "uri", "incarnation")
        export_rows(held, current_listing(held), records, record)
        listed = held.scratch / "listed.parquet"
        with TableWriter(listed, IDS_SCHEMA) as writer:
            writer.append(pa.record_batch([pa.array(["red-0.jpg", "of another"])], schema=IDS_SCHEMA))
        for found, known in ((listed, {"red-0.jpg"}), (None, set[str]())):
            with connect(held.scratch) as con:
                rows = manifest_rows(con, records.manifest(record), found).fetchall()
            assert len(rows) == 12
            assert {id for id, version, _, _ in rows if version is not None} == known
        with connect(held.scratch) as con:
            assert manifest_rows(con, [], listed).fetchall() == []
