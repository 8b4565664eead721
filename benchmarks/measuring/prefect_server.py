"""A Prefect server of a benchmark's own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

HOST, PORT = "127.0.0.1", "4267"


@contextmanager
def server() -> Iterator[None]:
    """Run a Prefect server with its own database and its default settings, and have this process' children use it."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://{HOST}:{PORT}/api"
        before = dict(os.environ)
        os.environ |= {"PREFECT_HOME": folder, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_API_URL": url}
        command = [str(Path(sys.executable).with_name("prefect")), "server", "start", "--host", HOST, "--port", PORT]
        with (Path(folder) / "server.log").open("w") as log:
            process = subprocess.Popen([*command, "--no-ui"], stdout=log, stderr=log)
        try:
            _await_health(url)
            yield
        finally:
            process.terminate()
            process.wait()
            os.environ.clear()
            os.environ |= before


def _await_health(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit("the Prefect server did not come up")
