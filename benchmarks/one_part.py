"""Makes one part's Parquet file from JPEG files, without Prefect, DuckDB or LanceDB. Part of throughput.py.

python benchmarks/one_part.py FOLDER OUT MODEL; MODEL as in a config, in JSON

Embeds as a run does. Prints as JSON what was chosen, how long it took, and images per second in steady state, which is
from a third of the images on.
"""

import argparse
import json
import time
from pathlib import Path

from pinery.allocator import keep_freed_memory
from pinery.checkpoint.listings import write_listing
from pinery.config import Config
from pinery.models.cores import cores
from pinery.models.registry import load
from pinery.records import Work
from pinery.sources import open_source
from pinery.steps.make_part import Batch, Order, PartMaker, open_runner

SAMPLES = 32


class Watch:
    """Remembers when how many images were done."""

    stopping = False

    def __init__(self) -> None:
        self.done = [(time.time(), 0)]
        self.notes: list[str] = []

    def on_batch(self, batch: Batch) -> None:
        """Note that a batch is done."""
        self.done.append((time.time(), self.done[-1][1] + batch.items))

    def note(self, text: str) -> None:
        """Note what a run would log."""
        self.notes.append(text)


class Nothing:
    """No vector is there already."""

    def values(self, sha256: str) -> None:
        """Return nothing: no vector of these bytes is known."""


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
    source, items = open_source(config.source), given.out / "items.parquet"
    rows = write_listing(source.list_batches(), items, lambda _: None)
    samples = sorted(given.folder.iterdir())[:SAMPLES]
    model = load(config.model, samples=lambda: [path.read_bytes() for path in samples])
    runner = open_runner(lambda: model, config, model.card.dimension, threads=cores(), expected=rows)
    watch, order = Watch(), Order(Work("part-00000000", items, 0, rows), given.out / "part.parquet")
    report = PartMaker(source, runner, Nothing(), model.card.dimension, config.run.max_bytes).make(order, watch)
    if report.embedded != rows:
        raise SystemExit(f"embedded {report.embedded} of {rows}: {report.reasons}")
    warm = next(at for at, (_, done) in enumerate(watch.done) if done >= rows / 3)
    (first, before), (last, done) = watch.done[warm], watch.done[-1]
    found = {
        "precision": model.card.precision,
        "decoder": model.card.decoder,
        "probe": model.card.probe,
        "batch": runner.batch_size,
        "notes": watch.notes,
        "seconds": report.seconds,
        "embedding": last - watch.done[0][0],
        "process": last - began,
        "steady": (done - before) / (last - first),
        "steady_from": first,
        "steady_to": last,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
