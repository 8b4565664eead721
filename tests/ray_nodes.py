"""A real Ray cluster of several nodes on this machine, in a process of its own, for tests that kill parts of it.

`with RayNodes() as nodes:` in a test. `python tests/ray_nodes.py` is that process: it prints the cluster's addresses,
and then does as the lines on its standard input say. Pinery's code isn't on its path, as on any other machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, cast

import psutil

WORKER = "ray::RayWorker"


class RayNodes:
    """A head without cores, and two nodes of one core each, while the context is open."""

    def __init__(self, nodes: int = 2) -> None:
        self._nodes = nodes

    def __enter__(self) -> RayNodes:
        changes = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        changes["PYTHONPATH"] = os.pathsep.join(path for path in paths if path and not Path(path, "pinery").is_dir())
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | changes,
        )
        self.address, self.client_address = self._read().split()
        for _ in range(self._nodes):
            self.add_node()
        return self

    def __exit__(self, *_: object) -> None:
        cast(IO[str], self._process.stdin).close()
        self._process.wait(60)

    def add_node(self) -> None:
        """Add a node of one core, and wait until it is there."""
        self._tell("add")

    def kill_node(self) -> None:
        """Kill all processes of the newest node, as when its machine fails."""
        self._tell("kill")

    def workers(self) -> list[psutil.Process]:
        """The processes of actors that live, the oldest first."""
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            try:
                if process.cmdline()[:1] and process.cmdline()[0].startswith(WORKER):
                    found.append(process)
            except psutil.Error:
                continue
        return sorted(found, key=lambda one: one.pid)

    def _tell(self, line: str) -> None:
        stdin = cast(IO[str], self._process.stdin)
        stdin.write(f"{line}\n")
        stdin.flush()
        assert self._read() == "done"

    def _read(self) -> str:
        return cast(IO[str], self._process.stdout).readline().strip()


def main() -> None:
    """Serve until standard input ends."""
    from ray.cluster_utils import Cluster

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "ray_client_server_port": port})
    nodes: list[Any] = []
    print(cluster.address, f"ray://127.0.0.1:{port}", flush=True)
    for line in sys.stdin:
        if line == "add\n":
            nodes.append(cluster.add_node(num_cpus=1))
        else:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
