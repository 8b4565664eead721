"""Embed a plan's parts and upsert each as it appears: one part is upserted while others are embedded."""

import contextlib
from collections import deque
from queue import SimpleQueue
from typing import Any

from prefect.futures import PrefectFuture

from pinery.corpus.run import HeldTarget
from pinery.embedding.processes import FirstWorker
from pinery.records import PartReport, UpsertReport, Work
from pinery.run_settings import MAX_WORKERS
from pinery.steps.bulk_import import choose_load
from pinery.steps.embed_part import Attempts, Embedding, open_embedding, refuse_nothing_but_failures
from pinery.steps.list_items import Listing
from pinery.steps.make_plan import Plan, still_to_upsert
from pinery.steps.refusals import Refusals
from pinery.steps.report import Done
from tasks.embed_part import embed_part
from tasks.import_rows import import_rows
from tasks.upsert_part import upsert_part

THREADS = MAX_WORKERS + 1
"""The threads for tasks, which are made when they are needed: one upserts, the others embed."""

Future = PrefectFuture[Any]


def embed_and_upsert(
    held: HeldTarget,
    plan: Plan,
    listing: Listing,
    limit: int | None,
    attempts: Attempts,
    first: FirstWorker | None = None,
) -> Done:
    """Do what the plan says except the deletes, by upserts or by a bulk import; `first` is a worker that waits for it.

    Raises what the steps raise, NothingLiveError where nothing that was tried could be embedded, and TerminalError
    where the index refused every row and that can't be believed.
    """
    refusals = Refusals(held, plan.sound)
    if held is not held.run.main and not {work.part for work in plan.embed}.isdisjoint(held.target.checkpoint.names()):
        # Another target of this model had them embedded; a part all of whose items moved has no file.
        plan = still_to_upsert(held, plan, listing.path, limit)
    if choose_load(held, plan, limit) == "import":
        embedded = _Pipeline(held, refusals, attempts, first).work(plan.embed, upsert=None)
        import_rows(held, listing.path)
        plan = still_to_upsert(held, plan, listing.path, limit)
        refusals.sound = plan.sound
        upserted = _Pipeline(held, refusals, attempts).work((), upsert=plan.upsert)
        done = Done(embedded.parts, upserted.upserts)
    else:
        done = _Pipeline(held, refusals, attempts, first).work(plan.embed, upsert=plan.upsert)
    refuse_nothing_but_failures(attempts, plan.counts.held)
    refusals.judge()
    return done


class _Pipeline:
    """Tasks on their way: as many parts being embedded as there are workers, and one being upserted."""

    def __init__(
        self, held: HeldTarget, refusals: Refusals, attempts: Attempts, first: FirstWorker | None = None
    ) -> None:
        self._held, self._refusals, self._attempts, self._first = held, refusals, attempts, first
        self._parts: list[PartReport] = []
        self._upserts: list[UpsertReport] = []
        self._embedding: dict[Future, Work] = {}
        self._sending: Future | None = None
        self._done: SimpleQueue[Future] = SimpleQueue()

    def work(self, embed: tuple[Work, ...], *, upsert: tuple[Work, ...] | None) -> Done:
        """Embed and upsert; if `upsert` is None, the embedded parts are not upserted either."""
        run, items = self._held.run, sum(work.rows for work in embed)
        rows = 0 if upsert is None else items + sum(work.rows for work in upsert)
        with (
            open_embedding(self._held, self._attempts, items, self._first) as embedding,
            run.stage("embed", items),
            run.stage("upsert", rows),
        ):
            try:
                self._run(embedding, deque(embed), deque(upsert or ()), upserting=upsert is not None)
            except BaseException:
                # The lease may be let go of only when nothing is in flight any more. The queue can't tell that, because
                # a signal may have come just when a task was taken from it.
                self._held.stop()
                for future in (*self._embedding, self._sending):
                    if future is not None:
                        with contextlib.suppress(Exception):
                            future.wait()
                raise
        return Done(self._parts, self._upserts)

    def _run(self, embedding: Embedding, to_embed: deque[Work], to_upsert: deque[Work], *, upserting: bool) -> None:
        while to_embed or to_upsert or self._embedding or self._sending:
            while to_embed and len(self._embedding) < embedding.workers.count:
                work = to_embed.popleft()
                self._embedding[self._watched(embed_part.submit(embedding, work))] = work
            if self._sending is None and to_upsert:
                self._sending = self._watched(upsert_part.submit(self._held, to_upsert.popleft(), self._refusals))
            future = self._done.get()
            if future is self._sending:
                self._forget(future)
                self._upserts.append(future.result())
                continue
            work = self._forget(future)
            self._parts.append(future.result())
            if self._parts[-1].rows and upserting:
                to_upsert.append(work)

    def _watched(self, future: Future) -> Future:
        future.add_done_callback(lambda one: self._done.put(one))
        return future

    def _forget(self, future: Future) -> Any:
        """Remove a task that has ended from the list; return its work, if it embedded."""
        if future is self._sending:
            self._sending = None
            return None
        return self._embedding.pop(future)
