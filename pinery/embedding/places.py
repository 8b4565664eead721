"""Where the parts of a run are made: on threads of its own process, in worker processes, or on a Ray cluster."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pinery.config import Config
from pinery.cores import cores, workers_of_gpu
from pinery.embedding.columns import Known
from pinery.embedding.job import Job, Order, Staging, Watch, Workers
from pinery.embedding.machine import gpus
from pinery.embedding.part import PartMaker
from pinery.embedding.processes import FirstWorker, Processes
from pinery.errors import ConfigError
from pinery.imaging.budget import PIXELS_AT_ONCE
from pinery.records import ModelCard, PartReport

SMALL_RUN = 4096
"""Images from which on worker processes pay for their start."""
LEAST_PART_ROWS = 1024
"""Rows of a part at least, where parts are made smaller for the sake of workers."""
PARTS_EACH = 4
"""Parts for each worker at least, so that they end at nearly the same time."""


@dataclass(frozen=True, slots=True)
class NodeShare:
    """The share of its node that a worker on a Ray cluster has."""

    threads: int
    workers: int
    """The workers on a node, at most; they divide its memory among themselves."""
    on_device: int
    """The workers that share its GPU."""

    def of(self, job: Job, devices: tuple[str, ...]) -> Job:
        """Return the job of one of the workers, which compute on these devices."""
        return replace(
            _on_device(job, devices[0]),
            threads=self.threads,
            fetch_threads=max(2, job.fetch_threads // self.workers),
            pixels=job.pixels // self.workers,
            expected=-(-job.expected // len(devices)),
            on_device=self.on_device,
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's parts are made, and why there."""

    devices: tuple[str, ...]
    """The device of each worker; empty where the run's own process does the work."""
    why: str
    gpus: tuple[int, ...] = ()
    """The GPUs of this machine that compute, as CUDA counts them."""
    share: NodeShare | None = None
    """The share of its node that each worker on Ray has; None where parts are made on this machine."""

    @property
    def kind(self) -> str:
        """The kind of the workers, as in the setting `runner.kind`."""
        return "ray" if self.share else "processes" if self.devices else "threads"

    @property
    def workers(self) -> int:
        """The number of parts that are made side by side."""
        return len(self.devices) or 1

    def part_rows(self, rows: int, most: int) -> int:
        """Return the rows of a part for so many rows in all: at most `most`, and few enough for all workers."""
        if self.workers == 1:
            return most
        return min(most, max(LEAST_PART_ROWS, -(-rows // (PARTS_EACH * self.workers))))


def refuse_missing(config: Config) -> None:
    """Raise ConfigError where the config's place of work needs Ray and it isn't installed."""
    if config.runner.kind == "ray" and importlib.util.find_spec("ray") is None:
        raise ConfigError("runner.kind: ray needs Ray, which is not installed; pip install 'pinery[ray]'")


def choose_place(config: Config, items: int) -> Place:
    """Choose where to embed so many items, as the settings `runner` and `model.device` say.

    On Ray this connects to the cluster, where anything is to be embedded. Raises ConfigError where that can't work.
    """
    if not items:
        return Place((), "there is nothing to embed")
    if config.runner.kind == "ray":
        return _on_ray(config, items)
    return place_for(config, items, gpus=_gpus(config), cores=cores())


def place_for(config: Config, items: int, *, gpus: int, cores: int) -> Place:
    """Choose the place on a machine with so many GPUs and cores."""
    runner, device = config.runner, config.model.device
    spread = gpus if device in ("auto", "cuda") else 0
    most = max(1, -(-items // min(LEAST_PART_ROWS, config.run.part_rows)))  # no more than there are parts
    first = (int(device.removeprefix("cuda:")),) if device.startswith("cuda:") else (0,) * bool(spread)
    if runner.kind == "threads":
        return Place((), "runner.kind is threads", first)
    if runner.workers != "auto":
        workers, why = runner.workers, f"runner.workers is {runner.workers}"
    elif spread or device.startswith("cuda:"):
        shared = max(1, spread)
        workers = shared * workers_of_gpu(cores // shared)
        why = f"{_counted(shared, 'GPU')} and {_counted(cores, 'core')}"
    else:
        workers, why = 1, "there is no GPU"
    workers = min(workers, most)
    if runner.kind == "auto" and (workers == 1 or (runner.workers == "auto" and items < SMALL_RUN)):
        few = f"{items:,} images are too few for processes" if workers > 1 else why
        return Place((), few, first)
    devices = tuple(f"cuda:{number % spread}" if spread else device for number in range(workers))
    return Place(devices, why, tuple(range(min(spread, workers))) or first)


@contextlib.contextmanager
def first_worker(config: Config, card: ModelCard, items: int, known: Callable[[], Known]) -> Iterator[FirstWorker]:
    """Have the first worker process load its model, if so many items would be embedded by processes on this machine.

    It is for `open_workers`, and ends at once where that didn't take it. `known` is as there.
    """
    place = Place((), "")
    if items and config.runner.kind in ("auto", "processes"):
        on_gpu = config.model.device in ("auto", "cuda")  # whose driver is asked, as torch takes seconds to import
        place = place_for(config, items, gpus=len(gpus()) if on_gpu else 0, cores=cores())
    jobs = _jobs(place, _job(config, card, known, items))
    first = FirstWorker(jobs[0] if jobs else None)
    try:
        yield first
    finally:
        first.close()


@contextlib.contextmanager
def open_workers(
    place: Place,
    config: Config,
    card: ModelCard,
    items: int,
    here: Callable[[Job], PartMaker],
    known: Callable[[], Known],
    staging: Callable[[], Staging],
    first: FirstWorker | None = None,
) -> Iterator[Workers]:
    """Start the workers of a place for so many items, and end them at the end.

    `here` makes what makes parts in this process; `known` opens the known vectors in another one, and can be pickled;
    `staging` opens the place where workers on other machines leave parts; `first` is used if it suits, and ends here.
    """
    job = _job(config, card, known, items)
    if first is not None and place.kind != "processes":
        first.close()
    if not place.devices:
        yield Threads(here(job))
        return
    if place.share:
        from pinery.embedding.ray_actors import open_actors

        with open_actors(place.share.of(job, place.devices), place.workers, here(job).known, staging()) as actors:
            yield actors
        return
    processes = Processes(_jobs(place, job), first)
    try:
        yield processes
    finally:
        processes.close()


class Threads:
    """The threads of this process, which make one part at a time."""

    count = 1
    staged = False

    def __init__(self, maker: PartMaker) -> None:
        self._maker = maker

    def make(self, order: Order, watch: Watch) -> PartReport:
        """See Workers."""
        return self._maker.make(order, watch)


def _on_ray(config: Config, items: int) -> Place:
    from pinery.embedding.ray_cluster import cluster_nodes, ray_place

    return ray_place(config, items, cluster_nodes(config.runner))


def _job(config: Config, card: ModelCard, known: Callable[[], Known], items: int) -> Job:
    """The job of a worker that has the whole machine."""
    return Job(config, card, known, cores(), config.run.fetch_threads, PIXELS_AT_ONCE, items)


def _jobs(place: Place, job: Job) -> list[Job]:
    return [_share(job, device, place.devices) for device in place.devices]


def _share(job: Job, device: str, devices: tuple[str, ...]) -> Job:
    """The job of one of several workers, which divide the machine among themselves."""
    count = len(devices)
    return replace(
        _on_device(job, device),
        threads=max(1, job.threads // count),
        fetch_threads=max(2, job.fetch_threads // count),
        pixels=job.pixels // count,
        expected=-(-job.expected // count),
        on_device=devices.count(device),
    )


def _on_device(job: Job, device: str) -> Job:
    model = job.config.model.model_copy(update={"device": device})
    return replace(job, config=job.config.model_copy(update={"model": model}))


def _gpus(config: Config) -> int:
    if config.runner.kind == "threads" or config.model.device not in ("auto", "cuda"):
        return 0
    import torch  # a run with nothing to embed needn't wait for it

    return torch.cuda.device_count()


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
