"""From JPEG files to the Parquet files of parts, without Prefect, DuckDB or LanceDB. Part of throughput.py.

python benchmarks/embed_folder.py FOLDER OUT MODEL; MODEL as in a config, in JSON

Embeds where and as a run does. Prints as JSON what was chosen and why, how long it took, and images per second in
steady state, which is from a third of the images on.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring.parts import NoVectors, Watch

from pinery.allocator import keep_freed_memory
from pinery.checkpoint.listings import write_listing
from pinery.config import Config
from pinery.embedding.job import Order, Staging
from pinery.embedding.part import PartMaker
from pinery.embedding.places import choose_place, open_workers
from pinery.models.registry import load
from pinery.records import PartReport, Work
from pinery.sources import open_source

SAMPLES = 32


def no_staging() -> Staging:
    """Fail: this measures one machine."""
    raise SystemExit("a Ray cluster is measured by benchmarks/ray_nodes.py")


def embed(config: Config, folder: Path, out: Path) -> dict[str, Any]:
    """Embed all files of a folder; return what was chosen and measured."""
    source, items, watch = open_source(config.source), out / "items.parquet", Watch()
    rows = write_listing(source.list_batches(), items, lambda _: None)
    samples = [path.read_bytes() for path in sorted(folder.iterdir())[:SAMPLES]]
    model = load(config.model, samples=lambda: samples)
    card, place = model.card, choose_place(config, rows)
    size = place.part_rows(rows, config.run.part_rows)
    starts = range(0, rows, size)
    began = time.time()
    with (
        open_workers(
            place,
            config,
            card,
            rows,
            here=lambda job: PartMaker(job, source, NoVectors(), lambda: model),
            known=NoVectors,
            staging=no_staging,
        ) as workers,
        ThreadPoolExecutor(workers.count) as pool,
    ):

        def make(start: int) -> PartReport:
            work = Work(f"part-{start:08}", items, start, min(rows, start + size))
            return workers.make(Order(work, out / f"{work.part}.parquet"), watch)

        reports = list(pool.map(make, starts))
    embedded = sum(report.embedded for report in reports)
    if embedded != rows:
        raise SystemExit(f"embedded {embedded} of {rows}: {[report.reasons for report in reports]}")
    steady, first, last = watch.steady()
    return {
        "workers": place.workers,
        "why": place.why,
        "precision": card.precision,
        "decoder": card.decoder,
        "probe": dict(card.probe),
        "notes": watch.notes,
        "seconds": {name: sum(report.seconds[name] for report in reports) for name in reports[0].seconds},
        "embedding": time.time() - began,
        "steady": steady,
        "steady_from": first,
        "steady_to": last,
    }


def main() -> None:
    """Embed and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("model")
    given = parser.parse_args()
    began = time.time()
    keep_freed_memory()
    given.out.mkdir(parents=True)
    config = Config(
        corpus="pictures",
        source={"kind": "folder", "path": str(given.folder)},
        model=json.loads(given.model),
        state=str(given.out),
    )
    found = embed(config, given.folder, given.out)
    print(json.dumps({**found, "process": time.time() - began}))


if __name__ == "__main__":
    main()
