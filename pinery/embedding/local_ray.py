"""A Ray on this machine for one run, in a process of its own: `python -m pinery.embedding.local_ray CORES`.

Ray forks the process that starts it, and the embedded index warns that a fork may leave it locked for ever. It prints
its address, and ends when its standard input does, so that it never outlives the run, whatever the run died of.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import subprocess
import sys
from typing import IO, Any, cast

from pinery.cores import cores
from pinery.errors import TransientError

OBJECT_STORE_BYTES = 256 << 20
"""Shared memory of that Ray; the rows of a part, which go through it, take a few megabytes."""
STOP_SECONDS = 20.0
AUTH_MODE = "RAY_AUTH_MODE"


class LocalRay:
    """The process, with the address of its Ray."""

    def __init__(self) -> None:
        """Start it, and wait until it serves. Raises TransientError where it doesn't."""
        command = [sys.executable, "-m", "pinery.embedding.local_ray", str(cores())]
        # In a session of its own, it doesn't get Ctrl-C, which is for the run.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.address = cast(IO[str], self._process.stdout).readline().strip()
        if not self.address:
            raise TransientError(f"no Ray could be started on this machine (exit code {self._process.wait()})")

    def close(self) -> None:
        """End it."""
        cast(IO[str], self._process.stdin).close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        cast(IO[str], self._process.stdout).close()


def take_token_mode() -> None:
    """Have this process and that Ray show each other the token of this user, where nothing else is said about that.

    Ray's ports are open to the network, and whoever may talk to them may run anything. Ray reads the variable when it
    is imported, and again when it is told to.
    """
    if os.environ.setdefault(AUTH_MODE, "token") == "token" and "ray" in sys.modules:
        with contextlib.suppress(ImportError, AttributeError):  # versions without tokens have no such thing
            importlib.import_module("ray._raylet").Config.initialize("")


def main() -> None:
    """Serve until standard input ends."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run tells nobody of itself
    # `local` starts a new one whatever else runs here; without it Ray would take RAY_ADDRESS or the newest cluster.
    context: Any = ray.init(
        address="local",
        num_cpus=int(sys.argv[1]),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=OBJECT_STORE_BYTES,
    )
    sys.stdout.write(f"{context.address_info['gcs_address']}\n")
    sys.stdout.flush()
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main()
