"""Two Ray nodes against one, on this machine, with a model that sleeps a fixed time per batch.

python benchmarks/ray_nodes.py [--images N] [--seconds S] [--results]

A sleeping model takes no core, so two nodes of one machine don't stand in each other's way: what is measured is what
the run and Ray add. Each node has one worker. The clock starts once each has made a part, so start-up is not in it.
`--results` writes benchmarks/results/ray_nodes.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from measuring.machine import keep, table
from measuring.parts import NoVectors, Watch

from pinery.checkpoint.listings import write_listing
from pinery.checkpoint.root import open_store
from pinery.checkpoint.staging import open_staging
from pinery.config import Config
from pinery.config_file import load_config
from pinery.embedding.job import Job, Order
from pinery.embedding.ray_actors import Actors
from pinery.embedding.ray_cluster import cluster_nodes, disconnect, ray_place
from pinery.models.registry import load
from pinery.records import Work
from pinery.sources import open_source

BATCH, PART = 16, 64
SERVE = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
for _ in range(int(sys.argv[1])):
    cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


class Sleeping:
    """A model that sleeps instead of computing, and then returns nothing but ones."""

    def __init__(self, model: Any, seconds: float) -> None:
        self._model, self._seconds = model, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_model"], name)

    def embed(self, batch: Any) -> Any:
        """Return vectors (images, dimension) of ones, after a fixed time."""
        import numpy

        time.sleep(self._seconds)
        return numpy.ones((len(batch), self.card.dimension), numpy.float32)


def build(config: Config, seconds: float) -> Any:
    """Return the model, on the node that calls this."""
    return Sleeping(load(config.model), seconds)


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """Yield the address of a Ray cluster of so many nodes of one core each, beside a head that has none."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(nodes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield cast(IO[str], process.stdout).readline().strip()
    finally:
        cast(IO[str], process.stdin).close()
        process.wait()


def rate(folder: Path, state: Path, address: str, seconds: float) -> float:
    """Return the images per second once all workers are at work."""
    settings = {"kind": "ray", "address": address}
    model = {"name": "descriptor", "batch": BATCH, "precision": "fp32", "decode": "exact"}
    source = {"kind": "folder", "path": str(folder)}
    given = {"corpus": "nodes", "source": source, "model": model, "state": str(state), "runner": settings}
    config = load_config({**given, "run": {"part_rows": PART}})
    items = state / "items.parquet"
    state.mkdir()
    rows = write_listing(open_source(config.source).list_batches(), items, lambda _: None)
    place = ray_place(config, rows, cluster_nodes(config.runner))
    assert place.share is not None
    card = load(config.model).card
    job = place.share.of(Job(config, card, dict, 1, 4, 1 << 27, rows), place.devices)
    staging = open_staging(config, open_store(config), card.key)
    actors = Actors(job, place.workers, NoVectors(), staging, partial(build, config, seconds))
    try:
        return _measure(actors, items, range(0, rows, PART), rows)
    finally:
        actors.close()
        disconnect()


def _measure(actors: Actors, items: Path, starts: Sequence[int], rows: int) -> float:
    watch, begun = Watch(), threading.Barrier(actors.count)

    def make(start: int, watch: Watch) -> None:
        work = Work(f"part-{start:08}", items, start, min(rows, start + PART))
        made = actors.make(Order(work, Path(f"{work.part}-{time.time_ns()}.parquet")), watch)
        assert made.rows == work.rows

    def warm_up(start: int) -> None:
        begun.wait()  # each worker gets one, or a quick one would make them all
        make(start, Watch())

    with ThreadPoolExecutor(actors.count) as pool:
        list(pool.map(warm_up, starts[: actors.count]))
        began = time.perf_counter()
        list(pool.map(partial(make, watch=watch), starts))
        return rows / (time.perf_counter() - began)


def main() -> None:
    """Measure, print, and write the result if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=0.2, help="the model's sleep per batch of 16")
    parser.add_argument("--results", action="store_true")
    given = parser.parse_args()
    rates = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "images")
        _paint(folder, given.images)
        for nodes in (1, 2):
            with cluster(nodes) as address:
                rates[nodes] = rate(folder, Path(place, f"state-{nodes}"), address, given.seconds)
    ratio = rates[2] / rates[1]
    most = BATCH / given.seconds
    lines = [[str(nodes), f"{one:,.1f}", f"{one / (nodes * most):.0%}"] for nodes, one in rates.items()]
    body = (
        f"A model that sleeps {given.seconds:g} s per batch of {BATCH}; {given.images:,} images in parts of {PART}.\n\n"
        + table(["nodes", "images/s", "of what the model alone would do"], lines)
        + f"\n\nTwo nodes make {ratio:.2f} times as much as one."
    )
    if given.results:
        keep("ray_nodes", "Two Ray nodes against one", ("ray", "torch"), body)
    else:
        print(body)


def _paint(folder: Path, images: int) -> None:
    import numpy as np
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(images):
        pixels = rng.integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.jpg")


if __name__ == "__main__":
    main()
