"""Decoding alone: on a device, or on all cores in as many processes as a GPU has workers. Part of throughput.py."""

from __future__ import annotations

import functools
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch

from pinery.cores import cores, workers_of_gpu
from pinery.imaging.prepare import prepare_on_cpu, prepare_on_device
from pinery.models.protocol import Model
from pinery.models.registry import load
from pinery.target_settings import ModelSettings

BATCH, MAX_PIXELS = 256, 64_000_000
WAIT_SECONDS = 300.0


class Decoders:
    """As many processes as one GPU's workers, each with its share of the cores, which do nothing but decode."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._count = workers_of_gpu(cores())
        self._pool = ProcessPoolExecutor(self._count, context, _begin, (context.Barrier(self._count),))

    def __enter__(self) -> Decoders:
        """Start the processes, which import torch meanwhile."""
        for _ in range(self._count):
            self._pool.submit(_meet)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def rate(self, model: dict[str, Any], files: Sequence[Path], seconds: float) -> float:
        """Return the images per second that all processes decode together for a model, as its settings say."""
        threads = max(1, cores() // self._count)
        shares = [files[number :: self._count] for number in range(self._count)]
        turns = [self._pool.submit(_decode, model, share, threads, seconds) for share in shares]
        return sum(turn.result() for turn in turns)


def decoding_on_device(model: dict[str, Any], files: Sequence[Path], seconds: float) -> float:
    """Return the images per second that are decoded on the device, and on all cores where it leaves some to them."""
    return _rate(load(ModelSettings(**model)), [path.read_bytes() for path in files], cores(), seconds, lambda: None)


def _rate(model: Model, files: Sequence[bytes], threads: int, seconds: float, meet: Callable[[], None]) -> float:
    decoder = model.card.decoder

    def on_cpu(data: bytes) -> None:
        prepare_on_cpu(data, decoder, model, MAX_PIXELS)

    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:

        def turn(data: Sequence[bytes]) -> int:
            for at in range(0, len(data), BATCH):
                batch = data[at : at + BATCH]
                there = prepare_on_device(batch, decoder, model, MAX_PIXELS)
                left = [data for data, image in zip(batch, there, strict=True) if image is None]
                list(pool.map(on_cpu, left, chunksize=8))
            return len(data)

        turn(files[:BATCH])  # it allocates
        meet()
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            done += turn(files)
        return done / (time.perf_counter() - began)


_together: Barrier
"""Where the processes wait for each other, so that each has one share, and all decode at the same time."""


def _begin(barrier: Barrier) -> None:
    global _together
    _together = barrier


def _meet() -> None:
    _together.wait(WAIT_SECONDS)


@functools.lru_cache(maxsize=1)
def _loaded(**model: Any) -> Model:
    return load(ModelSettings(**model))


def _decode(model: dict[str, Any], files: Sequence[Path], threads: int, seconds: float) -> float:
    torch.set_num_threads(threads)
    found = _loaded(**{**model, "device": "cpu"})
    return _rate(found, [path.read_bytes() for path in files], threads, seconds, _meet)
