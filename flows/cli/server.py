"""Provides the Prefect API that a command talks to: the configured one, or a temporary one of its own."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import prefect
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.reachable import answers, check_reachable
from pinery.config import cache_root
from pinery.errors import TerminalError

SERVER = Path(__file__).with_name("temporary_server.py")
START_SECONDS = 180.0
POLL_SECONDS = 0.1
LOG_TAIL = 2000
DRAIN_SECONDS = 3.0


@contextlib.contextmanager
def prefect_api(meanwhile: Callable[[], object] | None = None) -> Iterator[str]:
    """Use the configured Prefect API, or start a temporary server and stop it at the end; yields the API's URL.

    A temporary server takes seconds to come up, in which `meanwhile` is called. Raises what that raises, and
    TerminalError where the configured API can't be reached or the temporary one doesn't come up.
    """
    if PREFECT_API_URL.value():
        check_reachable(PREFECT_API_URL.value())
        yield PREFECT_API_URL.value()
        return
    with (
        # The server removes the folder too, for this process may be killed.
        tempfile.TemporaryDirectory(prefix="pinery-prefect-", ignore_cleanup_errors=True) as folder,
        _server(Path(folder), meanwhile) as url,
        # A heartbeat is for servers that outlive the run; stopping its thread costs a second.
        temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        try:
            yield url
        finally:
            # While there is still a server to take them; else Prefect tells of each event that it lost.
            if answers(url):
                EventsWorker.drain_all(timeout=DRAIN_SECONDS, at_exit=False)


@contextlib.contextmanager
def _server(folder: Path, meanwhile: Callable[[], object] | None) -> Iterator[str]:
    database, log = folder / "prefect.db", folder / "server.log"
    template = cache_root() / f"prefect-{prefect.__version__}.db"
    if template.exists():
        shutil.copyfile(template, database)
    port = _free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            # Not -m, which imports from the user's folder; -P, for this file's own folder has other modules.
            [sys.executable, "-P", str(SERVER), str(port), str(folder)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_environment(database),
            start_new_session=True,  # Ctrl-C is for the run, which then stops the server
        )
    try:
        if meanwhile is not None:
            meanwhile()
        _await_health(process, f"http://127.0.0.1:{port}/api/health", log)
        if not template.exists():
            _keep_migrated(database, template)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(database: Path) -> dict[str, str]:
    recorder = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"
    return {
        **os.environ,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_UI_ENABLED": "0",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",
        f"{recorder}_BATCH_SIZE": "200",
        f"{recorder}_READ_BATCH_SIZE": "200",
        f"{recorder}_FLUSH_INTERVAL": "1",
    }


def _await_health(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(POLL_SECONDS)
    raise TerminalError(
        "the temporary Prefect server did not start; set PREFECT_API_URL to a running one, or fix this:\n"
        + log.read_text(errors="replace")[-LOG_TAIL:]
    )


def _keep_migrated(database: Path, template: Path) -> None:
    # The next temporary server starts from this copy instead of running all migrations again.
    template.parent.mkdir(parents=True, exist_ok=True)
    making = template.with_suffix(f".{os.getpid()}")
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(making)) as target:
        source.backup(target)
    making.replace(template)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
