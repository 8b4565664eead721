"""The process of a temporary Prefect server, which starts while this one still imports Prefect."""

import contextlib
import importlib.metadata
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import httpx

from pinery.config import cache_root
from pinery.errors import TerminalError

SERVER = Path(__file__).with_name("temporary_server.py")
START_SECONDS = 180.0
POLL_SECONDS = 0.05
LOG_TAIL = 2000


class ServerProcess:
    """A Prefect server on 127.0.0.1 with a database of its own; it ends with this context, or with this process."""

    def __init__(self) -> None:
        # The server removes the folder too, for this process may be killed.
        self._folder = tempfile.TemporaryDirectory(prefix="pinery-prefect-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        self._database, self._log = folder / "prefect.db", folder / "server.log"
        self._template = cache_root() / f"prefect-{importlib.metadata.version('prefect')}.db"
        if self._template.exists():
            shutil.copyfile(self._template, self._database)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                # Not -m, which imports from the user's folder; -P, for this file's own folder has other modules.
                [sys.executable, "-P", str(SERVER), str(port), str(folder)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=_environment(self._database),
                start_new_session=True,  # Ctrl-C is for the run, which then stops the server
            )

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def await_answer(self) -> None:
        """Return once the server answers. Raises TerminalError, with the end of its log, where it doesn't come up."""
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(timeout=5, trust_env=False, verify=False) as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                with contextlib.suppress(httpx.HTTPError):
                    if client.get(f"{self.url}/health").status_code == httpx.codes.OK:
                        self._keep_migrated()
                        return
                time.sleep(POLL_SECONDS)
        raise TerminalError(
            "the temporary Prefect server did not start; set PREFECT_API_URL to a running one, or fix this:\n"
            + self._log.read_text(errors="replace")[-LOG_TAIL:]
        )

    def stop(self) -> None:
        """End the server, if it runs, and remove what it kept."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _keep_migrated(self) -> None:
        # The next temporary server starts from this copy instead of running all migrations again.
        if self._template.exists():
            return
        self._template.parent.mkdir(parents=True, exist_ok=True)
        making = self._template.with_suffix(f".{os.getpid()}")
        with (
            contextlib.closing(sqlite3.connect(self._database)) as source,
            contextlib.closing(sqlite3.connect(making)) as target,
        ):
            source.backup(target)
        making.replace(self._template)


def _environment(database: Path) -> dict[str, str]:
    recorder = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"
    return {
        **os.environ,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_UI_ENABLED": "0",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",  # of automations, which it has none of
        "PREFECT__SERVER_EPHEMERAL": "1",
        f"{recorder}_BATCH_SIZE": "200",
        f"{recorder}_READ_BATCH_SIZE": "200",
        f"{recorder}_FLUSH_INTERVAL": "1",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
