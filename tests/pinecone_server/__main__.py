"""A local Pinecone by hand: `python -m tests.pinecone_server --port 5080`; Ctrl-C or SIGTERM ends it."""

from __future__ import annotations

import argparse
import signal
import threading

from tests.pinecone_server.server import PineconeServer
from tests.pinecone_server.settings import Settings


def main() -> int:
    """Serve until a signal; prints the variables to export."""
    parser = argparse.ArgumentParser(prog="python -m tests.pinecone_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5080, help="0 takes a free port")
    parser.add_argument("--api-key", help="the only key to accept; default: any")
    parser.add_argument("--ready-after", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--lag", type=float, default=0.0, metavar="SECONDS", help="how long writes stay invisible")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="added to data requests")
    options = parser.parse_args()
    settings = Settings(options.api_key, options.ready_after, options.lag, latency=options.latency)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with PineconeServer(options.host, options.port, settings) as server:
        for name, value in server.environment.items():
            print(f"export {name}={value}", flush=True)
        stopped.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
