"""One actor on a Ray cluster at a time, as a run sees it: ready or not, followed, and started anew once it died."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from typing import Any

from pinery.embedding.columns import Known
from pinery.embedding.job import Order, Progress, Watch
from pinery.embedding.ray_cluster import session
from pinery.embedding.ray_worker import Ask, Message
from pinery.embedding.worker_process import Failure
from pinery.errors import StoppedError, TerminalError, TransientError
from pinery.records import PartReport

ASK_SECONDS = 0.2
"""Seconds between two looks of a follower whether the run is to stop."""
MOST_SAID = 500
"""Characters of what Ray says of an error; it says a lot."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Actor:
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
        self._session: object = None
        self._checked: Any = None
        self._renew()

    def is_ready(self) -> bool:
        """Return whether it can be given an order. Raises why it can't be, where that is for people to mend."""
        if self._handle is None:
            self._renew()
        if self._handle is not None and not self._node:
            try:
                if not self._is_done(self._checked, 0):
                    return False
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
        if handle is not None and session() is self._session:
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
        while not self._is_done(reference, ASK_SECONDS):
            if watch.stopping:
                self.kill()
                raise StoppedError(f"{order.work.part} was given up, because the run is to stop")
        found = self._ray.get(reference)
        self.heard = time.monotonic()
        return found

    def _is_done(self, reference: Any, seconds: float) -> bool:
        """Wait so long for an answer, and return whether it is there. Raises ConnectionError without the cluster."""
        if session() is not self._session:
            raise ConnectionError("the connection to the Ray cluster was lost")
        return bool(self._ray.wait([reference], timeout=seconds)[0])

    def _bury(self, error: BaseException) -> None:
        self.died = _in_a_line(error)
        self.kill()
        if session() is self._session:
            self._renew()  # it takes a while to begin

    def _renew(self) -> None:
        try:
            self._handle = self._start()
            self._session = session()
            self._checked = self._handle.check.remote()
        except self._errors as error:  # it is asked again, for as long as patience lasts
            self._handle, self.died = None, _in_a_line(error)

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
