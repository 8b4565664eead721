"""Export live rows as a bulk import takes them: exactly id, values and metadata, one row per distinct vector."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pinery.checkpoint.imports import ImportRecord, ImportRecords
from pinery.corpus.run import HeldTarget
from pinery.duckdb_files import scan
from pinery.indexes.protocol import ROWS_SCHEMA
from pinery.parquet.files import TableWriter, vector_row_group
from pinery.records import LEDGER_SCHEMA, Work
from pinery.steps.live_rows import live_rows
from pinery.steps.planned_rows import upsert_work

HASHES_SCHEMA = pa.schema([("id", pa.string()), ("hash", pa.string())])
NO_METADATA = pa.array(["{}"])
MANIFEST_ROWS = 250_000


@dataclass(frozen=True, slots=True)
class Exported:
    """The place of an export: `folder` in the state, which is `uri`/<namespace> on S3."""

    folder: str
    uri: str


def place_of(held: HeldTarget, name: str) -> Exported:
    """Return the place of the export `name`."""
    namespace, root = held.target.entry.namespace, held.target.store.root.rstrip("/")
    return Exported(f"exports/{name}/{namespace}", f"{root}/exports/{name}")


def export_rows(held: HeldTarget, listing: Path, records: ImportRecords, record: ImportRecord) -> int:
    """Write the rows that are to be upserted as an export, with a manifest of them; return how many there are."""
    with held.run.stage("export"), held.planned(listing) as con:
        _define_distinct(held, con, upsert_work(con, held.scratch / "candidates.parquet"))
        work = upsert_work(con, held.scratch / "export.parquet", "distinct_rows")
        _publish_manifest(held, con, records, record)
    folder = place_of(held, record.name).folder
    for one in work:
        _publish_part(held, one, folder)
    return sum(one.rows for one in work)


def _define_distinct(held: HeldTarget, con: duckdb.DuckDBPyConnection, work: tuple[Work, ...]) -> None:
    path = held.scratch / "hashes.parquet"
    with TableWriter(path, HASHES_SCHEMA) as writer:
        for one in work:
            for batch in live_rows(held.target.checkpoint, one):
                writer.append(pa.record_batch([batch["id"], _hashes(batch["values"])], schema=HASHES_SCHEMA))
                held.run.advance("export", 0)
    scan(con, path, row_number=True).create_view("hashes")
    con.execute("CREATE TABLE distinct_ids AS SELECT arg_min(id, file_row_number) AS id FROM hashes GROUP BY hash")
    con.execute("CREATE VIEW distinct_rows AS SELECT * FROM to_upsert SEMI JOIN distinct_ids USING (id)")


def _hashes(values: Any) -> pa.Array[Any]:
    matrix = values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), -1)
    return pa.array([hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in matrix], pa.string())


def _publish_manifest(
    held: HeldTarget, con: duckdb.DuckDBPyConnection, records: ImportRecords, record: ImportRecord
) -> None:
    path = held.scratch / "manifest.parquet"
    rows = con.sql("SELECT id, version, metadata_hash, false AS deleted FROM distinct_rows")
    for number, batch in enumerate(rows.to_arrow_reader(MANIFEST_ROWS)):
        with TableWriter(path, LEDGER_SCHEMA) as writer:
            writer.append(batch)
        held.check()
        records.publish_manifest(record, number, path)


def _publish_part(held: HeldTarget, work: Work, folder: str) -> None:
    path = held.scratch / f"export-{work.part}.parquet"
    with TableWriter(path, ROWS_SCHEMA, vector_row_group(held.target.card.dimension), checksums=False) as writer:
        for batch in live_rows(held.target.checkpoint, work):
            nothing = pc.is_in(batch["metadata"], NO_METADATA)
            metadata = pc.if_else(nothing, pa.scalar(None, pa.string()), batch["metadata"])
            writer.append(pa.record_batch([batch["id"], batch["values"], metadata], schema=ROWS_SCHEMA))
            held.run.advance("export", batch.num_rows)
    held.check()
    held.target.store.publish(f"{folder}/{work.part}.parquet", path)


def manifest_rows(con: duckdb.DuckDBPyConnection, files: list[Path], held: Path | None) -> duckdb.DuckDBPyRelation:
    """Return the rows (LEDGER_SCHEMA) of a manifest: acknowledged where their id is in `held`, else intended."""
    if not files:
        return con.sql("SELECT '' AS id, '' AS version, '' AS metadata_hash, false AS deleted LIMIT 0")
    scan(con, files).create_view("manifest")
    con.execute("CREATE TABLE held (id VARCHAR)")
    if held is not None:
        scan(con, held).select("id").insert_into("held")
    return con.sql("""
        SELECT m.id, if(h.id IS NULL, NULL, version) AS version,
               if(h.id IS NULL, NULL, metadata_hash) AS metadata_hash, deleted
        FROM manifest m LEFT JOIN held h USING (id)
    """)
