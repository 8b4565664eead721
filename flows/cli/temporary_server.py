"""The Prefect server of one run, for people without one: it ends with the process that started it, however that ends.

Run as `python -P temporary_server.py PORT FOLDER` with a pipe as standard input: when the pipe closes, the server
removes the folder, which holds its database, and ends. It imports nothing of Pinery.
"""

import gc
import importlib
import os
import shutil
import sys
import threading

import uvicorn

REMOVALS = 20
"""The attempts to remove the folder: the server still runs and may write a file amid one."""


def main() -> None:
    """Serve Prefect's API on 127.0.0.1 until standard input closes."""
    # First, for the parent may find at once that it needs no server.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()  # looking through what imports make, all of which stays, takes a fifth of their time
    importlib.import_module("prefect.server.api.server")
    gc.freeze()
    gc.enable()
    server = uvicorn.Server(
        uvicorn.Config(
            "prefect.server.api.server:create_app",
            factory=True,
            host="127.0.0.1",
            port=int(sys.argv[1]),
            log_level="error",
            lifespan="on",
            timeout_graceful_shutdown=2,
        )
    )
    server.run()


def _end_with_parent() -> None:
    # The kernel closes the parent's end of the pipe even on kill -9, which no signal handler would survive.
    sys.stdin.buffer.read()
    folder = sys.argv[2]
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            break
    os._exit(0)


if __name__ == "__main__":
    main()
