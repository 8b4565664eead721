"""Where a run's parts are made: on threads of this process, or in worker processes, one per GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Protocol

from pinery.checkpoint.known import KnownBytes
from pinery.config import Config
from pinery.corpus.run import HeldTarget
from pinery.imaging.budget import PIXELS_AT_ONCE
from pinery.models.cores import cores
from pinery.records import PartReport
from pinery.steps.make_part import Order, PartMaker, Watch, open_runner
from pinery.steps.worker import Job
from pinery.steps.workers import Workers


class Lanes(Protocol):
    """Makes parts, `count` of them at a time."""

    count: int

    def make(self, order: Order, watch: Watch) -> PartReport:
        """See `PartMaker.make`; may be called from as many threads at once as there are lanes."""


@contextlib.contextmanager
def open_lanes(held: HeldTarget, known: KnownBytes, parts: int, items: int) -> Iterator[Lanes]:
    """The lanes for so many parts of so many items together, as the config's `runner` says."""
    config = held.target.config
    devices = worker_devices(config, _gpus(config), parts) if parts else []
    if not devices:
        yield _InProcess(held, known, items)
        return
    workers = Workers(_jobs(held, devices, items))
    try:
        yield workers
    finally:
        workers.close()


def worker_devices(config: Config, gpus: int, parts: int) -> list[str]:
    """The device of each worker process, for so many parts and GPUs; none where this process does the work."""
    runner, device = config.runner, config.model.device
    spread = gpus if device in ("auto", "cuda") else 0
    workers = min(parts, max(1, spread) if runner.workers == "auto" else runner.workers)
    if runner.kind == "threads" or (runner.kind == "auto" and workers == 1):
        return []
    return [f"cuda:{number % spread}" if spread else device for number in range(workers)]


def _gpus(config: Config) -> int:
    if config.runner.kind == "threads" or config.model.device not in ("auto", "cuda"):
        return 0
    import torch  # a run with nothing to embed needn't wait for it

    return torch.cuda.device_count()


def _jobs(held: HeldTarget, devices: list[str], items: int) -> list[Job]:
    config, count = held.target.config, len(devices)
    return [
        Job(
            config.model_copy(update={"model": config.model.model_copy(update={"device": device})}),
            held.target.card,
            threads=max(1, cores() // count),
            pixels=PIXELS_AT_ONCE // count,
            expected=-(-items // count),
        )
        for device in devices
    ]


class _InProcess:
    count = 1

    def __init__(self, held: HeldTarget, known: KnownBytes, expected: int) -> None:
        self._held, self._known, self._expected = held, known, expected

    def make(self, order: Order, watch: Watch) -> PartReport:
        return self._parts.make(order, watch)

    @cached_property
    def _parts(self) -> PartMaker:
        target, dimension = self._held.target, self._held.target.card.dimension
        runner = open_runner(target.model, target.config, dimension, threads=cores(), expected=self._expected)
        source = self._held.run.corpus.source
        return PartMaker(source, runner, self._known, dimension, target.config.run.max_bytes)
