"""Rows in doubt: those that a request on its way to the index may still change after its lease was taken over.

The run that takes over writes them again, after the longest life of a request; and so does the run after it, for what
the index may have carried out later still.
"""

import shutil
from pathlib import Path

import pyarrow as pa

from pinery.checkpoint.ledger import rows_of_ids
from pinery.corpus.run import HeldTarget
from pinery.corpus.tables import connect
from pinery.parquet.files import TableWriter
from pinery.planning.plan import fold_ledger, last_window
from pinery.records import LEDGER_SCHEMA

BATCH = 16384


def doubt_all(held: HeldTarget) -> None:
    """Note that nothing is known of any row of the index."""
    path = held.scratch / "doubted.parquet"
    with connect(held.scratch) as con:
        fold_ledger(con, [str(file) for file in held.ledger.files()])
        _write(con.sql("SELECT id FROM ledger").to_arrow_reader(BATCH), path)
    with held.writing():
        held.ledger.enter_file(path)


def doubt_last_window(held: HeldTarget) -> None:
    """Note that nothing is known of the rows that the last holder of the lease may have had in flight.

    Does nothing where that holder let go of the lease, or is proven dead. What the run before took over is noted again.
    """
    ledger, store, folder = held.ledger, held.target.store, held.ledger.doubts
    for name in store.names(folder):
        path = shutil.copyfile(store.local(f"{folder}/{name}"), held.scratch / "again.parquet")
        with held.writing():
            ledger.enter_file(path)
            store.delete(f"{folder}/{name}")
        held.run.note("rows that a lost holder of the lease may have written late are written once more")
    if held.lease.after is None:
        return
    index, path = held.index, held.scratch / "window.parquet"
    with held.writing():
        index.shut_out_others()
    entries = ledger.newest_entries(index.max_concurrency * index.max_request_rows)
    with connect(held.scratch) as con:
        fold_ledger(con, [str(file) for file in ledger.files()])
        if not _write(last_window(con, [str(file) for file in entries]).to_arrow_reader(BATCH), path):
            return
    with held.writing():
        store.publish(f"{folder}/{held.lease.epoch:08d}.parquet", shutil.copyfile(path, held.scratch / "kept.parquet"))
        ledger.enter_file(path)


def _write(ids: pa.RecordBatchReader, path: Path) -> int:
    rows = 0
    with TableWriter(path, LEDGER_SCHEMA) as writer:
        for batch in ids:
            rows += batch.num_rows
            for entry in rows_of_ids(batch["id"]).to_batches():
                writer.append(entry)
    return rows
