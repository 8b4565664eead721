"""The Prefect server of one run, for people without one: it ends with the process that started it, however that ends.

Run as `python -m flows.temporary_server PORT` with a pipe as standard input: when the pipe closes, so does the server.
"""

import os
import sys
import threading

import uvicorn


def main() -> None:
    """Serve Prefect's API on 127.0.0.1 until standard input closes."""
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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server.run()


def _end_with_parent() -> None:
    # The kernel closes the parent's end of the pipe even on kill -9, which no signal handler would survive.
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
