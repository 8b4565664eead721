"""Workers on a Ray cluster as a run sees them: given orders, followed, replaced when they or their nodes die."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from pinery.embedding.columns import Known
from pinery.embedding.job import Job, Order, Staging, Watch
from pinery.embedding.ray_actor import ASK_SECONDS, Actor
from pinery.embedding.ray_cluster import connect, disconnect, needs
from pinery.embedding.ray_worker import RayWorker
from pinery.errors import StoppedError, TerminalError, TransientError
from pinery.models.protocol import Model
from pinery.models.registry import load
from pinery.parquet.files import read_rows
from pinery.records import PartReport

CALLS_AT_ONCE = 3
"""Calls that an actor takes side by side: one waits for news, while another brings an answer."""

RECONNECT_SECONDS = 5.0
"""How long a cluster that doesn't answer is left alone."""


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
        self._unreachable, self._until = "", 0.0
        """Why the cluster doesn't answer, and until when it isn't asked again."""
        self._idle = [Actor(ray, partial(self._start, job, staging, build), known) for _ in range(count)]
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

    def _start(self, job: Job, staging: Staging, build: Callable[[], Model]) -> Any:
        """Have Ray start an actor. Raises ConnectionError where the cluster doesn't answer."""
        if time.monotonic() < self._until:
            raise ConnectionError(self._unreachable)
        try:
            ray = connect(self._runner)
        except TransientError as error:
            self._unreachable, self._until = str(error), time.monotonic() + RECONNECT_SECONDS
            raise ConnectionError(self._unreachable) from error
        kind = ray.remote(RayWorker).options(
            num_cpus=self._runner.num_cpus,
            num_gpus=self._runner.num_gpus,
            max_concurrency=CALLS_AT_ONCE,
            scheduling_strategy="SPREAD",
        )
        return kind.remote(job, staging, build)

    def _take(self, order: Order, watch: Watch) -> Actor:
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
