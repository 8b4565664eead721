"""Where a run's parts are made: on threads of this process, or in worker processes, one per GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from pinery.config import Config
from pinery.imaging.budget import PIXELS_AT_ONCE
from pinery.models.cores import cores
from pinery.records import PartReport
from pinery.steps.make_part import Order, Watch, make_part, open_runner
from pinery.steps.run import Run
from pinery.steps.worker import Job
from pinery.steps.workers import Workers

if TYPE_CHECKING:
    from pinery.models.runner import Runner


class Lanes(Protocol):
    """Makes parts, `count` of them at a time."""

    count: int

    def make(self, order: Order, watch: Watch) -> PartReport:
        """See `make_part`; may be called from as many threads at once as there are lanes."""


@contextlib.contextmanager
def open_lanes(run: Run, parts: int, items: int) -> Iterator[Lanes]:
    """The lanes for so many parts of so many items together, as the config's `runner` says."""
    config = run.corpus.config
    devices = worker_devices(config, _gpus(config), parts) if parts else []
    if not devices:
        yield _InProcess(run, items)
        return
    workers = Workers(_jobs(run, devices, items))
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


def _jobs(run: Run, devices: list[str], items: int) -> list[Job]:
    config, count = run.corpus.config, len(devices)
    return [
        Job(
            config.model_copy(update={"model": config.model.model_copy(update={"device": device})}),
            run.corpus.card,
            threads=max(1, cores() // count),
            pixels=PIXELS_AT_ONCE // count,
            expected=-(-items // count),
        )
        for device in devices
    ]


class _InProcess:
    count = 1

    def __init__(self, run: Run, expected: int) -> None:
        self._run, self._expected = run, expected

    def make(self, order: Order, watch: Watch) -> PartReport:
        corpus, runner = self._run.corpus, self._runner
        dimension, max_bytes = corpus.card.dimension, self._run.settings.max_bytes
        return make_part(
            order, corpus.source, runner, self._run.known, dimension=dimension, max_bytes=max_bytes, watch=watch
        )

    @cached_property
    def _runner(self) -> Runner:
        corpus = self._run.corpus
        return open_runner(
            self._run.model, corpus.config, corpus.card.dimension, threads=cores(), expected=self._expected
        )
