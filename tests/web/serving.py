"""`pinery serve` as a process of its own, on a port that is free."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

from tests.corpora import config, paint
from tests.filled import bring
from tests.processes import PINERY, wait_until, write_config

TOKEN = "a-token-that-nobody-guesses"
VARIABLES = {"PINERY_TOKEN", "PINERY_PAGE_HOSTS"}


@dataclass
class Server:
    """One server that runs."""

    url: str
    process: subprocess.Popen[bytes]
    err: IO[bytes]

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])

    def log(self) -> str:
        """What it wrote to stderr so far."""
        return os.pread(self.err.fileno(), 1 << 24, 0).decode("utf-8", "replace")

    def client(self, **options: Any) -> httpx.Client:
        """A program that asks it."""
        return httpx.Client(base_url=self.url, timeout=60, **options)

    def memory(self) -> int:
        """The bytes of memory that it has all for itself."""
        return int(psutil.Process(self.process.pid).memory_full_info().uss)


@contextlib.contextmanager
def serving(*arguments: str | Path, **environment: str) -> Iterator[Server]:
    """Start a server and wait until it is ready; end it by SIGTERM, as which it must exit with 0."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = [*PINERY, "serve", *map(str, arguments), *(() if "--port" in arguments else ("--port", "0"))]
        process = subprocess.Popen(command, stdout=out, stderr=err, env=inherited | environment)
        try:
            wait_until(lambda: b"Ctrl-C" in os.pread(out.fileno(), 4096, 0) or process.poll() is not None)
            said = os.pread(out.fileno(), 4096, 0).decode()
            assert " at http" in said, os.pread(err.fileno(), 1 << 16, 0).decode()
            yield Server(said.partition(" at ")[2].partition(",")[0], process, err)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            code = process.wait(60)
        assert code == 0, os.pread(err.fileno(), 1 << 16, 0).decode()


def ended(*arguments: str | Path, **environment: str) -> tuple[int, str]:
    """Start a server that ends by itself; return its exit code and what it wrote to stderr."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-m", "flows.cli", "serve", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=inherited | environment)
    return done.returncode, done.stderr


def corpus(
    folder: Path, name: str = "test", labels: tuple[str, ...] = ("red", "green", "blue"), **changes: Any
) -> Path:
    """Make a corpus of four images of each label, which is indexed; return its config."""
    for label in labels:
        for number in range(4):
            paint(folder / "images" / f"{label}-{number}.jpg", label, number)
    settings = config(folder / "images", folder / "state", corpus=name, **changes)
    bring(settings)
    return write_config(folder / f"{name}.yaml", settings)
