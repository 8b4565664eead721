"""Measures a plan's time and memory for a corpus in which next to nothing changed.

Run as `python benchmarks/planning.py [ITEMS ...]`; writes benchmarks/results/planning.md.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from measuring.machine import keep, table

from pinery.corpus.tables import connect
from pinery.parquet.checksums import add_checksums, check_file
from pinery.planning.plan import count_plan, define_plan, duplicate_ids, fold_ledger

NEW = 1000
TABLES = ("listing", "part-00000000", "ledger")
ID = "'photos/' || (range // 1000) || '/' || range || '.jpg'"
METADATA = """'{"label":"x' || (range % 100) || '"}'"""


def write_tables(folder: Path, items: int) -> None:
    """Write a listing of `items`, and a checkpoint and a ledger that lack the last thousand."""
    with duckdb.connect() as con:
        for name, columns, rows in (
            ("listing", f"'s3://b/' || range AS uri, 100::BIGINT AS bytes, {METADATA} AS metadata", items),
            ("part-00000000", "NULL::VARCHAR AS error", items - NEW),
            ("ledger", f"substr(sha256({METADATA}), 1, 16) AS metadata_hash, false AS deleted", items - NEW),
        ):
            query = f"SELECT {ID} AS id, md5(range::VARCHAR) AS version, {columns} FROM range({rows})"
            con.execute(f"COPY ({query}) TO '{folder / name}.parquet'")
            add_checksums(folder / f"{name}.parquet")


def measure(items: int) -> None:
    """Plan once, in this process, and print seconds and peak MiB."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_tables(folder, items)
        with connect(folder) as con:
            began = time.perf_counter()
            for name in TABLES:
                check_file(folder / f"{name}.parquet", name)
            listing = con.read_parquet(str(folder / "listing.parquet"), file_row_number=True)
            listing.select("*, file_row_number AS position").create_view("listing")
            part = con.read_parquet(str(folder / "part-00000000.parquet"))
            part.select("'part-00000000' AS part, id, version, error").create_view("checkpoint")
            con.execute("CREATE TABLE rejected (id VARCHAR, version VARCHAR, metadata_hash VARCHAR)")
            fold_ledger(con, [str(folder / "ledger.parquet")])
            assert duplicate_ids(con) is None
            define_plan(con, limit=None, retry_quarantined=False)
            counts = count_plan(con)
            seconds = time.perf_counter() - began
    assert (counts.to_embed, counts.unchanged) == (NEW, items - NEW)
    print(f"{seconds:.1f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}")


def main() -> None:
    """Measure each size in a process of its own, and write the results."""
    sizes = [int(argument) for argument in sys.argv[1:]] or [1_000_000, 5_000_000, 20_000_000]
    rows = []
    for items in sizes:
        command = [sys.executable, __file__, "--one", str(items)]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append([f"{items:,}", *ended.stdout.split()])
    keep(
        "planning",
        "Planning",
        ["duckdb"],
        "From Parquet files of a listing, a checkpoint and a ledger, whose checksums are checked, to the counts;"
        f" {NEW:,} items are new.\n\n" + table(["items", "seconds", "peak MiB"], rows),
    )


if __name__ == "__main__":
    if "--one" in sys.argv:
        measure(int(sys.argv[-1]))
    else:
        main()
