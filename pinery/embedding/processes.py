"""Worker processes as a run sees them: given orders, followed, replaced when they die."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from pinery.embedding.job import Job, Order, Progress, Watch
from pinery.embedding.worker_process import STOP, Failure, Room, serve
from pinery.errors import StoppedError, TransientError
from pinery.records import PartReport

ASK_SECONDS = 0.2
"""Seconds between two looks of a follower whether the run is to stop."""
STOP_SECONDS = 15.0
"""Seconds that a worker has to end a part, or itself, before it is killed; what it was making is unpublished anyway."""


class Processes:
    """Worker processes, one for each job. Those that share a GPU begin one after the other, as its memory allows.

    The first worker of a GPU tells what it holds once it has made a part; as many others as fit beside it begin then.
    Where memory runs out all the same, one of them ends, and the others go on.
    """

    staged = False

    def __init__(self, jobs: Sequence[Job], first: FirstWorker | None = None) -> None:
        """Start the processes, but for the first one if it is there already; `close` ends them."""
        self._all = [_Worker(job, self.fit) for job in jobs]
        if first is not None and (ready := first.take(jobs[0], self.fit)) is not None:
            self._all[0] = ready
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._serving: Counter[str] = Counter()
        """The workers of each device, without those that have ended or are to end."""
        self._waiting: dict[str, list[_Worker]] = defaultdict(list)
        """The workers of a device that wait until it is known whether they fit."""
        self._ending: Counter[str] = Counter()
        """The number of workers of a device that end once they are idle."""
        for worker in self._all:
            worker.start()
            alone = not self._serving[worker.device]
            self._serving[worker.device] += 1
            if alone or not worker.device.startswith("cuda"):
                self._idle.put(worker)
            else:
                self._waiting[worker.device].append(worker)

    @property
    def count(self) -> int:
        """The number of parts that are made side by side, as far as memory allows."""
        return self._serving.total()

    def make(self, order: Order, watch: Watch) -> PartReport:
        """Have an idle worker make a part, and follow it; waits while none is idle.

        Raises TransientError naming the part and the exit code where the worker died: another takes its place at the
        next order. Otherwise raises what `PartMaker.make` raised in the worker.
        """
        worker = self._idle.get()
        try:
            return worker.make(order, watch)
        finally:
            self._release(worker)

    def close(self) -> None:
        """End all processes; nothing may be in the making."""
        for worker in self._all:
            worker.dismiss()
        for worker in self._all:
            worker.end()

    def fit(self, device: str, room: Room) -> str | None:
        """Let begin or end as many workers as the memory of a device asks for; return what a user should know of it."""
        with self._lock:
            waiting = self._waiting.pop(device, [])
            for worker in waiting[: room.more]:
                self._idle.put(worker)
            too_many = waiting[room.more :]
            self._serving[device] -= len(too_many)
            if room.short and self._serving[device] > 1:
                self._serving[device] -= 1
                self._ending[device] += 1
            left = self._serving[device]
        for worker in too_many:
            worker.dismiss()
        if too_many or room.short:
            return f"the memory of {device} is enough for {left} of its workers; going on with so many"
        return None

    def _release(self, worker: _Worker) -> None:
        with self._lock:
            ends = self._ending[worker.device] > 0
            self._ending[worker.device] -= ends
        if ends:
            worker.dismiss()
        else:
            self._idle.put(worker)


class FirstWorker:
    """A worker process that loads its model while nobody knows yet what there is to do; or none."""

    def __init__(self, job: Job | None) -> None:
        """Start the process, unless there is no job that it could be for; `close` ends it."""
        self._worker = None if job is None else _Worker(job, lambda *_: None)
        if self._worker is not None:
            self._worker.start(ahead=True)

    def take(self, job: Job, fit: Callable[[str, Room], str | None]) -> _Worker | None:
        """Hand the process over with its job, if that is for the model and device that it was started for."""
        worker = self._worker
        if worker is None or not worker.takes(job, fit):
            self.close()
            return None
        self._worker = None
        return worker

    def close(self) -> None:
        """End the process at once, unless somebody took it."""
        if self._worker is not None:
            self._worker.kill()
        self._worker = None


class _Worker:
    """One process at a time; used by one thread at a time."""

    def __init__(self, job: Job, fit: Callable[[str, Room], str | None]) -> None:
        self._job, self._fit = job, fit
        self.device = job.config.model.device
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._ordered = False

    def start(self, *, ahead: bool = False) -> None:
        """Start the process, unless it runs; `ahead` of its first order, it loads the model at once."""
        if self._process is not None and self._process.is_alive():
            return
        self.end()
        self._ordered = False
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        name = f"pinery-{self.device}"
        self._process = context.Process(target=serve, args=(theirs, self._job, ahead), name=name)
        with _deaf_to_interrupts():
            self._process.start()
        theirs.close()  # or the pipe would not end with the process

    def takes(self, job: Job, fit: Callable[[str, Room], str | None]) -> bool:
        """Give the process another job, if that is for the same model and device; return whether it is."""
        if (job.config.model, job.card) != (self._job.config.model, self._job.card):
            return False
        self._job, self._fit = job, fit
        with contextlib.suppress(OSError):  # where it has died, the next one starts with this job
            if self._pipe is not None:
                self._pipe.send(job)
        return True

    def make(self, order: Order, watch: Watch) -> PartReport:
        self.start()
        assert self._pipe is not None
        self._ordered = True
        try:
            self._pipe.send(order)
            return self._follow(self._pipe, order, watch)
        except (EOFError, OSError):
            raise TransientError(
                f"the worker process that made {order.work.part} (device {self.device}) died with exit code"
                f" {self.end()}. Nothing of the part was published; run the same command again to go on"
            ) from None

    def dismiss(self) -> None:
        """Tell the process to end once it is idle; kill it if it was never given an order, as it has nothing to end."""
        if self._process is not None and not self._ordered:
            self._process.kill()
        elif self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.send(None)

    def end(self) -> str:
        """Wait for the process to end, kill it if it doesn't, and return its exit code as text."""
        if self._process is None:
            return ""
        self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        code = self._process.exitcode or 0
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None
        return f"{code} ({signal.Signals(-code).name})" if code < 0 else str(code)

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
        self.end()

    def _follow(self, pipe: Connection, order: Order, watch: Watch) -> PartReport:
        while True:
            if watch.stopping:
                self._halt(pipe)
                raise StoppedError(f"{order.work.part} was given up, because the run is to stop")
            if not pipe.poll(ASK_SECONDS):
                continue
            message = pipe.recv()
            match message:
                case PartReport():
                    return message
                case Failure():
                    self._note_end(message)
                    raise message.error
                case Room():
                    if text := self._fit(self.device, message):
                        watch.note(text)
                case Progress() | str():
                    try:
                        watch.note(message) if isinstance(message, str) else watch.on_batch(message)
                    except BaseException:
                        self._halt(pipe)
                        raise

    def _halt(self, pipe: Connection) -> None:
        """Make the worker give up its part, and leave it idle; kill it if it doesn't."""
        with contextlib.suppress(EOFError, OSError):
            pipe.send(STOP)
            while pipe.poll(STOP_SECONDS):
                if isinstance(message := pipe.recv(), PartReport | Failure):
                    self._note_end(message)
                    return
        self.kill()

    def _note_end(self, message: PartReport | Failure) -> None:
        if isinstance(message, Failure) and not message.usable:
            self.end()


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started inside don't get Ctrl-C, which is for the run: it ends them."""
    resource_tracker.ensure_running()  # starting it, as the first process would, makes this thread hear again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
