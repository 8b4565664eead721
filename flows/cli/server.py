"""Provides the Prefect API that a command talks to: the configured one, or a temporary one of its own."""

import contextlib
from collections.abc import Callable, Iterator

from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.cli.server_process import ServerProcess
from flows.reachable import answers, check_reachable

DRAIN_SECONDS = 3.0


@contextlib.contextmanager
def prefect_api(meanwhile: Callable[[], object] | None = None, begun: ServerProcess | None = None) -> Iterator[str]:
    """Use the configured Prefect API, or a temporary server that is stopped at the end; yields the API's URL.

    The temporary server is the one that has `begun`, which is stopped at once where it isn't needed, or is started
    here. It takes seconds to come up, in which `meanwhile` is called. Raises what that raises, and TerminalError where
    the configured API can't be reached or the temporary one doesn't come up.
    """
    if PREFECT_API_URL.value():
        if begun is not None:
            begun.stop()
        check_reachable(PREFECT_API_URL.value())
        yield PREFECT_API_URL.value()
        return
    with begun or ServerProcess() as server:
        if meanwhile is not None:
            meanwhile()
        server.await_answer()
        # A heartbeat is for servers that outlive the run.
        with temporary_settings({PREFECT_API_URL: server.url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            try:
                yield server.url
            finally:
                # While there is still a server to take them; else Prefect tells of each event that it lost.
                if answers(server.url):
                    EventsWorker.drain_all(timeout=DRAIN_SECONDS, at_exit=False)
