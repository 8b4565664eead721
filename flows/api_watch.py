"""Notices a Prefect API that dies before a run in this process does: the run goes on, and nobody waits for the API.

Left alone, Prefect repeats what it can't deliver for minutes: the state of the flow run, and at the process' end each
of its events. A run that is watched sends its own heartbeats; see flows.heartbeats.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
)

from flows.leaving import leave_at_once
from flows.reachable import answers
from tasks.changed_settings import changed_settings

REQUEST_SECONDS = 15.0
"""The longest wait for one answer: an API that hangs delays the end of a run once by so much."""


class _Watch:
    def __init__(self, url: str) -> None:
        self.url, self.dead = url, False
        self.heartbeat_seconds: int | None = PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value()
        self.settings = contextlib.ExitStack()


_watch: ContextVar[_Watch | None] = ContextVar("watch", default=None)


@contextlib.contextmanager
def watched(url: str | None) -> Iterator[None]:
    """Look at the API at `url`, if there is one, when the work of the flow called inside has ended."""
    watch = _Watch(url) if url else None
    if watch is None:
        yield
        return
    token = _watch.set(watch)
    try:
        with watch.settings:
            changed = {PREFECT_API_REQUEST_TIMEOUT: REQUEST_SECONDS, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
            watch.settings.enter_context(changed_settings(changed))
            yield
    finally:
        _watch.reset(token)


def heartbeat_seconds() -> int | None:
    """Return the time between the heartbeats that the watched run sends itself; None if it sends none."""
    watch = _watch.get()
    return watch.heartbeat_seconds if watch is not None else None


def look_at_api() -> None:
    """Look whether the watched API still answers; if not, have Prefect's client try each request only once."""
    watch = _watch.get()
    if watch is not None and not watch.dead and not answers(watch.url):
        watch.dead = True
        leave_at_once(f"the Prefect API at {watch.url} does not answer any more")
        watch.settings.enter_context(changed_settings({PREFECT_CLIENT_MAX_RETRIES: 0}))
