"""`pinery` as a process of its own, for tests that kill it or read what it prints."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

PINERY = [sys.executable, "-m", "flows.cli"]
POLL_SECONDS = 0.02


def write_config(path: Path, settings: Mapping[str, Any]) -> Path:
    """The settings as a YAML file."""
    path.write_text(yaml.safe_dump(dict(settings)))
    return path


def environment(**changes: str) -> dict[str, str]:
    """This process' environment, with Prefect's API as the test has it, and `changes`."""
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    return os.environ | ({"PREFECT_API_URL": url} if url else {}) | changes


def start(*arguments: str, **changes: str) -> subprocess.Popen[str]:
    """Start `pinery` with these arguments."""
    return subprocess.Popen(
        [*PINERY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**changes)
    )


def pinery(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `pinery` to its end."""
    return subprocess.run(
        [*PINERY, *arguments], capture_output=True, text=True, env=environment(**changes), timeout=240
    )


def messages(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines on stderr without those of progress, which a slow machine prints more of."""
    return [line for line in ended.stderr.splitlines() if not re.fullmatch(r"pinery: .* \(after [\d,]+ s\)", line)]


def report(*arguments: str, **changes: str) -> dict[str, Any]:
    """Return the object that a `pinery … --json`, which must succeed, prints."""
    ended = pinery(*arguments, "--json", **changes)
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str] | None = None, seconds: float = 120
) -> None:
    """Return once the condition holds; fail if the process ends before, or the time runs out."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None and not condition():
            raise AssertionError(f"the process ended first: {process.communicate()}")
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(POLL_SECONDS)


def halted(workers: Iterable[psutil.Process], busy: Callable[[psutil.Process], bool]) -> psutil.Process | None:
    """Return the first of these processes that is busy, stopped while it is; None if none is."""
    for worker in workers:
        with contextlib.suppress(psutil.Error):
            if busy(worker):
                worker.suspend()
                if busy(worker):
                    return worker
                worker.resume()
    return None
