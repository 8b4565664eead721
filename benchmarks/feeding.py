"""How fast images reach a model that does nothing, beside the decoder alone: a GPU leaves nothing else to wait for.

python benchmarks/feeding.py [--images N] [--rounds N]

Embeds JPEGs of 224 x 224 pixels from files to Parquet the accelerator's way (`decode: scaled`): in one process with a
decoding thread for each core, and in a process for each core, as on a GPU. Beside it the decoder alone, its files in
memory, on as many threads.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from measuring.machine import keep, table
from measuring.parts import NoVectors, Watch
from measuring.pictures import write_jpegs

from pinery.allocator import keep_freed_memory
from pinery.checkpoint.listings import write_listing
from pinery.config import Config
from pinery.cores import cores
from pinery.embedding.job import Job, Order
from pinery.embedding.part import PartMaker
from pinery.embedding.runner import Runner
from pinery.imaging.budget import PIXELS_AT_ONCE
from pinery.imaging.prepare import prepare_on_cpu
from pinery.imaging.quick import CentreCrop
from pinery.records import ModelCard, Work
from pinery.sources import open_source

CARD = ModelCard("nothing", "none", "", "none", "none", "scaled", "fp32", normalise=False, dimension=512)
BATCH, MAX_PIXELS = 256, 64_000_000
LEAST = 0.85
FETCH_THREADS = 16
"""As many as a run has for a folder; processes divide them."""


class Nothing:
    """A model on an accelerator that takes no time: all of its vectors are the same."""

    card, device, batch_size = CARD, "meta", BATCH
    resize_side, centre_crop = 256, CentreCrop(256, 224, "bilinear")

    def expect(self, images: int, threads: int) -> None:
        """Prepare nothing."""

    def preprocess(self, image: Any) -> torch.Tensor:
        """Fail: all of these images go the quick way."""
        raise NotImplementedError

    def prepare_on_device(self, encoded: Sequence[bytes], max_pixels: int) -> list[torch.Tensor | None]:
        """Fail: the CPU decodes."""
        raise NotImplementedError

    def embed(self, batch: torch.Tensor) -> npt.NDArray[np.float32]:
        """Return ones: shape (images, dimension)."""
        return np.ones((len(batch), CARD.dimension), np.float32)

    def embed_text(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Fail: there are no texts."""
        raise NotImplementedError


class Accelerated(PartMaker):
    """Makes parts the accelerator's way, on a machine that may have none."""

    @cached_property
    def runner(self) -> Runner:
        """As in `PartMaker`, with another device than the CPU."""
        job = self.job
        return Runner(
            self.build,
            CARD.dimension,
            device="meta",
            fetch_threads=job.fetch_threads,
            decode_threads=job.threads,
            max_pixels=MAX_PIXELS,
            batch=BATCH,
        )


@dataclass(frozen=True, slots=True)
class Share:
    """The rows that one process embeds, with so many threads."""

    folder: Path
    start: int
    stop: int
    threads: int
    fetch_threads: int

    def embed(self) -> float:
        """Embed the rows; return the CPU seconds that it took."""
        torch.set_num_threads(self.threads)
        config = config_of(self.folder)
        job = Job(config, CARD, NoVectors, self.threads, self.fetch_threads, PIXELS_AT_ONCE, 0)
        maker = Accelerated(job, open_source(config.source), NoVectors(), Nothing)
        used = time.process_time()
        work = Work(f"part-{self.start:08}", self.folder / "items.parquet", self.start, self.stop)
        report = maker.make(Order(work, self.folder / f"{work.part}-{self.threads}.parquet"), Watch())
        assert report.embedded == work.rows, report
        return time.process_time() - used


def config_of(folder: Path) -> Config:
    """Return the config of the images below a folder."""
    source = {"kind": "folder", "path": str(folder / "images")}
    return Config(corpus="images", source=source, model="descriptor", state=str(folder))


def serve(pipe: Connection, share: Share) -> None:
    """Embed a share each time that the pipe says so, once to warm up."""
    keep_freed_memory()
    while True:
        pipe.send(share.embed())
        pipe.recv()


@contextmanager
def processes(shares: Sequence[Share]) -> Iterator[list[Connection]]:
    """Start a process for each share; yield their pipes once all are warm."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pipes = []
        for share in shares:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, share))
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        yield pipes


def decode(files: Sequence[bytes], threads: int) -> float:
    """Decode all files on so many threads; return the CPU seconds that it took."""
    model, used = Nothing(), time.process_time()

    def some(first: int) -> None:
        for data in files[first::threads]:
            prepare_on_cpu(data, CARD.decoder, model, MAX_PIXELS)

    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(some, range(threads)))
    return time.process_time() - used


@dataclass(slots=True)
class Measured:
    """One contestant: for each round its images per second, and its CPU microseconds for an image."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    @contextmanager
    def turn(self, images: int) -> Iterator[list[float]]:
        """Take the time of one round; the list that is yielded gets its CPU seconds."""
        used: list[float] = []
        began = time.perf_counter()
        yield used
        self.rates.append(images / (time.perf_counter() - began))
        self.costs.append(sum(used) / images * 1e6)


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Measured]:
    """Let each contestant have its turn in every round."""
    count, threads = given.images, cores()
    write_jpegs(folder / "images", count)
    write_listing(open_source(config_of(folder).source).list_batches(), folder / "items.parquet", lambda _: None)
    files = [path.read_bytes() for path in sorted((folder / "images").iterdir())]
    whole = Share(folder, 0, count, threads, FETCH_THREADS)
    each = FETCH_THREADS // threads
    shares = [Share(folder, count * n // threads, count * (n + 1) // threads, 1, each) for n in range(threads)]
    found = {name: Measured() for name in ("the decoder alone", "one process", f"{threads} processes")}
    alone, one, many = found.values()
    keep_freed_memory()
    with processes(shares) as pipes:
        whole.embed()  # to warm up
        for number in range(given.rounds):
            with alone.turn(count) as used:
                used.append(decode(files, threads))
            with one.turn(count) as used:
                used.append(whole.embed())
            with many.turn(count) as used:
                for pipe in pipes:
                    pipe.send("embed")
                used += [pipe.recv() for pipe in pipes]
            print(number, {name: round(one.rates[-1]) for name, one in found.items()}, flush=True)
    return found


def page(found: dict[str, Measured], images: int) -> str:
    """Return the body of the results."""
    alone, rows = found["the decoder alone"], []
    for name, one in found.items():
        ratios = [rate / least for rate, least in zip(one.rates, alone.rates, strict=True)]
        rate, cost, ratio = (statistics.median(values) for values in (one.rates, one.costs, ratios))
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([name, f"{rate:,.0f}", f"{cost:,.0f}", f"{ratio:.2f}", spread])
    best = ratio  # the last one is that of the processes
    return (
        f"{images:,} distinct JPEGs of 224 x 224 pixels (photo-like noise, 7 KB each) from files to the Parquet files"
        " of parts, with a model that does nothing, batches of 256, and 16 fetching threads in all; the decoder alone"
        f" has its files in memory. Medians of {len(alone.rates)} rounds.\n\n"
        f"{table(['', 'images/s', 'CPU µs an image', 'by the decoder alone', 'lowest to highest'], rows)}\n\n"
        f"The bar is {LEAST:.2f} for processes, which `auto` takes on a GPU: {best:.2f}, so it"
        f" {'holds' if best >= LEAST else 'does **not** hold'}."
    )


def main() -> None:
    """Measure, print and keep the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pinery-feeding-") as name:
        found = measure(given, Path(name))
    keep(
        "feeding",
        "Feeding an accelerator",
        ["torch", "torchvision", "simplejpeg", "pyarrow"],
        page(found, given.images),
    )


if __name__ == "__main__":
    main()
