"""A worker process: makes the files of parts as it is told through a pipe, and ends when that pipe closes.

The pipe carries `Order`s, `STOP`, None (the end) and, where the first one has changed, a `Job` in; `Progress`, `Room`,
notes (text), and for each order a `PartReport` or a `Failure` out.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing.connection import Connection

from pinery.allocator import keep_freed_memory
from pinery.embedding.columns import Known
from pinery.embedding.job import Job, Order, Progress
from pinery.embedding.part import PartMaker
from pinery.errors import PineryError, TerminalError, TransientError
from pinery.models.protocol import Model
from pinery.models.registry import load, module_of, parse
from pinery.records import PartReport
from pinery.sources import open_source

STOP = "stop"
FILLED = 0.9
"""The share of a GPU's free memory that workers may take; batches grow while `auto` looks for their size."""
CONTEXT_BYTES = 600 << 20
"""The memory of a GPU that CUDA takes for a process before that asks for any: some 0.5 GB on an H100."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no part; where `usable` is off, the worker has ended itself."""

    error: PineryError
    usable: bool


@dataclass(frozen=True, slots=True)
class Room:
    """The memory of a GPU, as a worker finds it after its first part, or when its memory has run out."""

    more: int
    """The number of workers like this one that would fit beside it."""
    short: bool
    """True where this worker had to make its batches smaller."""

    @classmethod
    def beside(cls, held: int, free: int, *, short: bool) -> Room:
        """Return the room on a GPU where one worker holds `held` bytes, and `free` bytes are left."""
        return cls(0 if short else int(free * FILLED // max(1, held)), short)


class GpuMemory:
    """The memory of a GPU that this process takes. A run that chose a model on the same GPU may hold some as well."""

    def __init__(self, device: str) -> None:
        self._device, self._before = device, 0

    def begin(self) -> None:
        """Note what is held before a model is loaded; CUDA takes its own part here. Only the first call does it."""
        if self._device.startswith("cuda") and not self._before:
            with contextlib.suppress(RuntimeError, AssertionError):  # loading fails as well, and says why
                self._before = self._held()

    def room(self, *, short: bool) -> Room:
        """Return the room for processes like this one, as it is now."""
        import torch

        free, _ = torch.cuda.mem_get_info(self._device)
        return Room.beside(max(0, self._held() - self._before) + CONTEXT_BYTES, free, short=short)

    def _held(self) -> int:
        import torch

        free, total = torch.cuda.mem_get_info(self._device)
        return total - free


Told = Progress | Room | str
"""What a worker tells while it makes a part; a text is a note for the person who watches."""


def serve(pipe: Connection, job: Job, ahead: bool) -> None:
    """Make one part after the other until told to end. Never outlives the process at the other end of the pipe.

    With `ahead` the model is loaded before anything is ordered, and `job` may still change in all but model and device.
    Without, only the modules for it are imported: whether a GPU has room for another model may not be known yet.
    """
    keep_freed_memory()
    orders: queue.SimpleQueue[Order | Job | None] = queue.SimpleQueue()
    stopping = threading.Event()
    threading.Thread(target=_listen, args=(pipe, orders, stopping), name="orders", daemon=True).start()
    build: Callable[[], Model] = partial(load, job.config.model, job.card)
    memory = GpuMemory(job.config.model.device)
    if ahead:
        build = _loaded(build, memory)
    else:
        _import_for(job)
    make = Maker(job, job.known, build, partial(send, pipe), stopping.is_set, memory)
    while (order := orders.get()) is not None:
        if isinstance(order, Job):
            make = Maker(order, order.known, build, partial(send, pipe), stopping.is_set, memory)
            continue
        answer = make(order)
        send(pipe, answer)
        if isinstance(answer, Failure) and not answer.usable:
            return


def send(pipe: Connection, message: Told | PartReport | Failure) -> None:
    """Send to the other end; without one, end this process."""
    try:
        pipe.send(message)
    except OSError:
        os._exit(1)


class Maker:
    """Makes parts, one at a time; whoever it tells is the watch of each."""

    def __init__(
        self,
        job: Job,
        known: Callable[[], Known],
        build: Callable[[], Model],
        tell: Callable[[Told], None],
        stopping: Callable[[], bool],
        memory: GpuMemory,
    ) -> None:
        self._job, self._known, self._build, self._tell, self._is_stopping = job, known, build, tell, stopping
        self._memory = memory
        self._told_room = ""

    def __call__(self, order: Order) -> PartReport | Failure:
        """Make a part; its failure is returned, as nobody here could do anything about it."""
        try:
            report = self._parts.make(order, self)
            self._tell_room()
            return report
        except PineryError as error:
            return Failure(error, usable=True)
        except Exception as error:  # noqa: BLE001  it can't be raised here, and may not survive the way to the run
            return Failure(_as_error(error, order.work.part, self._job.config.model.device), usable=False)

    @property
    def stopping(self) -> bool:
        """See Watch."""
        return self._is_stopping()

    def on_batch(self, progress: Progress) -> None:
        """See Watch."""
        self._tell(progress)

    def note(self, text: str) -> None:
        """See Watch."""
        self._tell(text)

    def _tell_room(self) -> None:
        """Tell once how much memory is left on a GPU, and once that it was too little."""
        device, short = self._job.config.model.device, self._parts.runner.short_of_memory
        if not device.startswith("cuda") or self._told_room == (now := "short" if short else "room"):
            return
        self._told_room = now
        self._tell(self._memory.room(short=short))

    @cached_property
    def _parts(self) -> PartMaker:
        import torch

        job = self._job
        torch.set_num_threads(job.threads)
        self._memory.begin()
        return PartMaker(job, open_source(job.config.source), self._known(), self._build)


def _import_for(job: Job) -> None:
    """Import what the first part needs. Where that fails the first part says why."""
    with contextlib.suppress(Exception):
        import pinery.embedding.runner  # noqa: F401

        module_of(parse(job.config.model.name))


def _loaded(build: Callable[[], Model], memory: GpuMemory) -> Callable[[], Model]:
    """Load the model now. Where that fails the first part tries again, so that it can say why."""
    import pinery.embedding.runner  # noqa: F401  which the first part would wait for, too

    memory.begin()
    with ThreadPoolExecutor(1, "ahead") as own:  # ends, as do the threads of OpenMP that loading may have started
        loading = own.submit(build)
    return build if loading.exception() else loading.result


def _listen(pipe: Connection, orders: queue.SimpleQueue[Order | Job | None], stopping: threading.Event) -> None:
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
