"""Workers on a Ray cluster as a run sees them: given orders, followed, replaced when they or their nodes die."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from pinery.embedding.columns import Known
from pinery.embedding.job import Job, Order, Progress, Staging, Watch
from pinery.embedding.ray_cluster import connect, disconnect, needs
from pinery.embedding.ray_worker import Ask, Message, RayWorker
from pinery.embedding.worker_process import Failure
from pinery.errors import StoppedError, TerminalError, TransientError
from pinery.models.protocol import Model
from pinery.models.registry import load
from pinery.parquet.files import read_rows
from pinery.records import PartReport

ASK_SECONDS = 0.2
"""How often a follower asks whether the run is to stop."""
CALLS_AT_ONCE = 3
"""Calls that an actor takes side by side: one waits for news, while another brings an answer."""

MOST_SAID = 500
"""Characters of what Ray says of an error; it says a lot."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@contextlib.contextmanager
def open_actors(job: Job, count: int, known: Known, staging: Staging) -> Iterator[Actors]:
    """Start so many actors for the cluster of the job's config, and end them and the connection at the end."""
    actors = Actors(job, count, known, staging, partial(load, job.config.model, job.card))
    try:
        yield actors
    finally:
        actors.close()
        disconnect()


class Actors:
    """Actors on the nodes of a cluster, each a worker of its own; `known` is asked here for all of them.

    An actor that died is started anew, on any node that has room for it; what it was making is for the run to repeat.
    """

    staged = True

    def __init__(self, job: Job, count: int, known: Known, staging: Staging, build: Callable[[], Model]) -> None:
        """Have Ray start the actors, without waiting for them; `close` ends them. `build` can be pickled."""
        self.count = count
        self._runner, self._patience = job.config.runner, job.config.upsert.outage_patience
        ray = connect(self._runner)
        kind = ray.remote(RayWorker).options(
            num_cpus=self._runner.num_cpus,
            num_gpus=self._runner.num_gpus,
            max_concurrency=CALLS_AT_ONCE,
            scheduling_strategy="SPREAD",
        )
        self._idle = [_Actor(ray, lambda: kind.remote(job, staging, build), known) for _ in range(count)]
        self._all = tuple(self._idle)
        self._changed = threading.Condition()

    def make(self, order: Order, watch: Watch) -> PartReport:
        """Have an idle actor make a part, and follow it; its file ends in the staging place.

        Waits while no actor is idle. Raises TransientError naming the part and the node where the actor died,
        TerminalError where no actor is there for as long as an outage may last, StoppedError; and otherwise what
        `PartMaker.make` raised on the node, or what kept the actor from beginning, such as a ConfigError.
        """
        table = read_rows(order.work.path, order.work.start, order.work.stop)
        rows = pa.BufferOutputStream()
        with pa.ipc.new_stream(rows, table.schema) as stream:
            stream.write_table(table)
        while True:
            actor = self._take(order, watch)
            try:
                if actor.begin(rows.getvalue().to_pybytes(), order, watch):
                    return actor.follow(order, watch)
            finally:
                with self._changed:
                    self._idle.append(actor)
                    self._changed.notify()

    def close(self) -> None:
        """End all actors."""
        for actor in self._all:
            actor.kill()

    def _take(self, order: Order, watch: Watch) -> _Actor:
        """Wait for an actor that is idle, and take it."""
        since = time.monotonic()
        while not watch.stopping:
            with self._changed:
                ready = next((actor for actor in self._idle if actor.is_ready()), None)
                if ready is not None:
                    self._idle.remove(ready)
                    return ready
                self._changed.wait(ASK_SECONDS)
            heard = max(since, *(actor.heard for actor in self._all))
            if time.monotonic() - heard > self._patience:
                raise TerminalError(self._nobody())
        raise StoppedError(f"{order.work.part} was given up, because the run is to stop")

    def _nobody(self) -> str:
        why = next((f": {actor.died}" for actor in self._all if actor.died), "")
        return (
            f"for {self._patience:g} s (upsert.outage_patience) no node of the Ray cluster has had a worker, which"
            f" takes {needs(self._runner)}{why}. Run the same command again once there are nodes"
        )


class _Actor:
    """One actor at a time; used by one thread at a time."""

    def __init__(self, ray: Any, start: Callable[[], Any], known: Known) -> None:
        self._ray, self._start, self._known = ray, start, known
        self._node = ""
        """The node that it is on, once it is ready."""
        self.heard = 0.0
        """When it last answered, by the monotonic clock."""
        self.died = ""
        """Why the last one died, if one did."""
        self._handle: Any = None
        self._checked: Any = None
        self._renew()

    def is_ready(self) -> bool:
        """Return whether it can be given an order. Raises why it can't be, where that is for people to mend."""
        if self._handle is None:
            self._renew()
        if not self._node and self._ray.wait([self._checked], timeout=0)[0]:
            try:
                found = self._ray.get(self._checked)
            except self._errors as error:
                self._bury(error)
                if getattr(error, "actor_init_failed", False) or isinstance(error, self._unfit):
                    raise TerminalError(f"a worker on the Ray cluster can't begin: {_in_a_line(error)}") from error
                return False
            if isinstance(found, Failure):
                raise found.error
            self._node, self.heard = found, time.monotonic()
        return bool(self._node)

    def begin(self, rows: bytes, order: Order, watch: Watch) -> bool:
        """Have it begin an order; return False where it has died meanwhile."""
        try:
            self._answer(self._handle.begin.remote(rows, order.work.part, order.path.name), order, watch)
        except self._errors as error:
            self._bury(error)
            return False
        return True

    def follow(self, order: Order, watch: Watch) -> PartReport:
        """Follow the making of a part to its end. What ends it early ends the actor too, and another one begins."""
        try:
            while True:
                for message in self._answer(self._handle.news.remote(), order, watch):
                    if isinstance(message, PartReport):
                        return message
                    self._take_note(message, watch)
        except self._errors as error:
            node = self._node
            self._bury(error)
            raise TransientError(
                f"the worker on node {node} of the Ray cluster that made {order.work.part} died ({self.died}). Nothing"
                " of the part was published; run the same command again to go on"
            ) from error
        except _FailedError as failed:
            if not failed.failure.usable:
                self.kill()
            raise failed.failure.error from None
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once; what it was making is unpublished anyway."""
        handle, self._handle, self._node = self._handle, None, ""
        if handle is not None:
            with contextlib.suppress(*self._errors):
                self._ray.kill(handle)

    def _take_note(self, message: Message, watch: Watch) -> None:
        match message:
            case Failure():
                raise _FailedError(message)
            case Ask():
                self._handle.answer.remote(dict(self._known.find(message.sha256)))
            case str():
                watch.note(message)
            case Progress():
                watch.on_batch(message)

    def _answer(self, reference: Any, order: Order, watch: Watch) -> Any:
        while not self._ray.wait([reference], timeout=ASK_SECONDS)[0]:
            if watch.stopping:
                self.kill()
                raise StoppedError(f"{order.work.part} was given up, because the run is to stop")
        found = self._ray.get(reference)
        self.heard = time.monotonic()
        return found

    def _bury(self, error: BaseException) -> None:
        self.died = _in_a_line(error)
        self.kill()
        self._renew()

    def _renew(self) -> None:
        self._handle, self._node = self._start(), ""
        self._checked = self._handle.check.remote()

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        return (self._ray.exceptions.RayError, ConnectionError)

    @property
    def _unfit(self) -> tuple[type[Exception], ...]:
        return (self._ray.exceptions.RuntimeEnvSetupError, self._ray.exceptions.RayTaskError)


def _in_a_line(error: BaseException) -> str:
    """What Ray says, without its colours."""
    return " ".join(COLOURS.sub("", str(error)).split())[:MOST_SAID]


class _FailedError(Exception):
    """A worker's failure on its way through the one that follows it."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
