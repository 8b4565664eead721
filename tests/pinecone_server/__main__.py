"""A local Pinecone by hand: `python -m tests.pinecone_server --port 5080`; Ctrl-C or SIGTERM ends it."""

import argparse
import signal
import threading

from tests.pinecone_server.faults import KINDS
from tests.pinecone_server.server import PineconeServer
from tests.pinecone_server.settings import Settings


def main() -> int:
    """Serve until a signal; prints the variables to export."""
    given = _parser().parse_args()
    settings = Settings(
        api_key=given.api_key,
        ready_after=given.ready_after,
        lag=given.lag,
        latency=given.latency,
        oversize=given.oversize,
        null_metadata=given.null_metadata,
        rate=given.rate,
        month_write_units=given.month_write_units,
        s3_endpoint=given.s3_endpoint,
        import_seconds=given.import_seconds,
        integration_id=given.integration_id,
        grpc=given.grpc,
    )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with PineconeServer(given.host, given.port, settings) as server:
        if given.faults:
            server.faults.plan(given.seed, given.faults, given.kinds)
        for name, value in server.environment.items():
            print(f"export {name}={value}", flush=True)
        stopped.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.pinecone_server", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=5080, help="0 takes a free port")
    add("--api-key", help="the only key to accept; default: any")
    add("--grpc", action="store_true", help="give each index a port of its own, for REST and gRPC")
    add("--ready-after", type=_positive, default=Settings.ready_after, metavar="SECONDS", help="until it is ready")
    add("--lag", type=_positive, default=Settings.lag, metavar="SECONDS", help="how long writes stay invisible")
    add("--latency", type=_positive, default=0.0, metavar="SECONDS", help="added to data requests")
    add("--oversize", choices=("413", "400"), default="413", help="how a body over 2 MB is refused")
    add("--null-metadata", choices=("reject", "strip"), default="reject", help="what becomes of null metadata values")
    add("--faults", type=_share, default=0.0, metavar="SHARE", help="share of data requests that fail, 0 to 1")
    add("--seed", type=int, default=0, help="of the draws of --faults")
    add("--kinds", nargs="+", choices=KINDS, default=KINDS, metavar="KIND", help=f"of faults: {', '.join(KINDS)}")
    add("--rate", type=_positive, metavar="N", help="requests per second and namespace, over which a 429 comes")
    add("--month-write-units", type=int, metavar="N", help="write units until every write gets the month's 429")
    add("--s3-endpoint", metavar="URL", help="the S3 that bulk imports read; default: AWS_ENDPOINT_URL_S3")
    add("--import-seconds", type=_positive, default=0.0, metavar="SECONDS", help="how long a bulk import takes")
    add("--integration-id", metavar="ID", help="the storage integration that bulk imports must name")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be within 0 and 1, got {text}")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
