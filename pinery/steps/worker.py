"""A worker process: makes the files of parts as it is told through a pipe, and ends when that pipe closes.

The pipe carries `Order`s, `STOP` and None (the end) in; `Batch`es, notes (text), and for each order one `PartReport` or
`Failure` out.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import traceback
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pinery.allocator import keep_freed_memory
from pinery.checkpoint.known import KnownBytes
from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.root import CorpusPaths, open_store
from pinery.config import Config
from pinery.errors import PineryError, TerminalError, TransientError
from pinery.models.registry import load
from pinery.records import ModelCard, PartReport
from pinery.sources import open_source
from pinery.steps.make_part import Batch, Order, PartMaker, open_runner

if TYPE_CHECKING:
    from pinery.models.runner import Runner

STOP = "stop"


@dataclass(frozen=True, slots=True)
class Job:
    """The settings that a worker is started with; it takes secrets from its environment, as any process does."""

    config: Config
    """With the worker's own device in `model.device`."""
    card: ModelCard
    threads: int
    """The processor's cores that are this worker's share."""
    pixels: int
    """The pixels of all images that it may have in memory at once."""
    expected: int
    """Images that it will see, as far as is known."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no part; where `usable` is off, the worker has ended itself."""

    error: PineryError
    usable: bool


def serve(pipe: Connection, job: Job) -> None:
    """Make one part after the other until told to end. Never outlives the process at the other end of the pipe."""
    keep_freed_memory()
    orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
    stopping = threading.Event()
    threading.Thread(target=_listen, args=(pipe, orders, stopping), name="orders", daemon=True).start()
    make = _Maker(pipe, job, stopping)
    while (order := orders.get()) is not None:
        answer = make(order)
        send(pipe, answer)
        if isinstance(answer, Failure) and not answer.usable:
            return


def send(pipe: Connection, message: Batch | PartReport | Failure | str) -> None:
    """Send to the other end; without one, end this process."""
    try:
        pipe.send(message)
    except OSError:
        os._exit(1)


class _Maker:
    """Makes parts; the watch of each is the other end of the pipe."""

    def __init__(self, pipe: Connection, job: Job, stopping: threading.Event) -> None:
        self._pipe, self._job, self._stopping = pipe, job, stopping

    def __call__(self, order: Order) -> PartReport | Failure:
        try:
            return self._parts.make(order, self)
        except PineryError as error:
            return Failure(error, usable=True)
        except Exception as error:  # noqa: BLE001  it can't be raised here, and may not survive the pipe
            return Failure(_as_error(error, order.work.part, self._job.config.model.device), usable=False)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def on_batch(self, batch: Batch) -> None:
        send(self._pipe, batch)

    def note(self, text: str) -> None:
        send(self._pipe, text)

    @cached_property
    def _parts(self) -> PartMaker:
        job = self._job
        source = open_source(job.config.source)
        return PartMaker(source, self._runner(), self._known(), job.card.dimension, job.config.run.max_bytes)

    def _runner(self) -> Runner:
        import torch

        job = self._job
        torch.set_num_threads(job.threads)
        return open_runner(
            lambda: load(job.config.model, job.card),
            job.config,
            job.card.dimension,
            threads=job.threads,
            expected=job.expected,
            pixels=job.pixels,
        )

    def _known(self) -> _KnownElsewhere:
        config = self._job.config
        folder = CorpusPaths(config.corpus).parts(self._job.card.key)
        return _KnownElsewhere(KnownBytes(Checkpoint(open_store(config), folder)))


class _KnownElsewhere:
    """The table of known bytes, which the process at the other end keeps up to date."""

    def __init__(self, known: KnownBytes) -> None:
        self._known = known

    def values(self, sha256: str) -> npt.NDArray[np.float32] | None:
        try:
            return self._known.values(sha256)
        except sqlite3.OperationalError:  # locked for a long write: embedding is right too, and waiting isn't
            return None


def _listen(pipe: Connection, orders: queue.SimpleQueue[Order | None], stopping: threading.Event) -> None:
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            # The kernel closes the other end even on kill -9, which no signal handler would survive.
            os._exit(1)
        if message == STOP:
            stopping.set()
        else:
            stopping.clear()
            orders.put(message)


def _as_error(error: Exception, part: str, device: str) -> PineryError:
    said = f"{type(error).__name__}: {error}"
    if _is_of_device(error):
        return TransientError(
            f"the device {device} failed at {part} ({said.splitlines()[0]}); its worker is replaced, and the part"
            " repeated"
        )
    told = TerminalError(f"a worker on {device} failed at {part}: {said}")
    told.add_note("".join(traceback.format_exception(error)))
    return told


def _is_of_device(error: Exception) -> bool:
    # After one of these the device is lost to the process: every later call fails as well.
    import torch

    kind = getattr(torch, "AcceleratorError", None)
    return (kind is not None and isinstance(error, kind)) or "CUDA error" in str(error)
