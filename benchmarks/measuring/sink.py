"""A Pinecone that stores nothing: it counts the rows of a request without parsing it, and acknowledges them.

`python benchmarks/measuring/sink.py [--latency SECONDS]` prints its address, and ends when its standard input closes.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROW = b'"id":'
"""Each row has this once; metadata sent here must not have it."""


@contextmanager
def sink(latency: float = 0.0) -> Iterator[str]:
    """Yield the address of a sink in a process of its own, which adds `latency` s to each upsert."""
    command = [sys.executable, str(Path(__file__)), "--latency", str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.communicate()


class _Connection(asyncio.Protocol):
    """One client: requests in turn, each answered once its last byte has come, `latency` s later."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._head, self._line = b"", ""
        self._left = self._rows = 0
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        while data:
            if not self._left:
                data = self._begin(data)
            body, data = data[: self._left], data[self._left :]
            self._count(body)
            self._left -= len(body)
            if self._line and not self._left:
                self._answer()

    def _begin(self, data: bytes) -> bytes:
        """Read a request's head; what follows it, or nothing while it is incomplete."""
        self._head += data
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if not found:
            return b""
        lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        self._line, self._left = lines[0], int(fields.get("content-length", 0))
        self._head, self._tail, self._rows = b"", b"", 0
        if not self._left:
            self._answer()
        return rest

    def _count(self, body: bytes) -> None:
        # A mark may lie across two reads.
        edge = self._tail + body[: len(ROW) - 1]
        self._rows += edge.count(ROW) + body.count(ROW)
        self._tail = body[1 - len(ROW) :] if len(body) >= len(ROW) else edge[1 - len(ROW) :]

    def _answer(self) -> None:
        method, path, _ = self._line.split()
        self._line = ""
        if path.endswith("/vectors/upsert"):
            answer, wait = {"upsertedCount": self._rows}, self._latency
        elif method == "GET" and path.startswith("/indexes/"):
            answer, wait = self._described(path.removeprefix("/indexes/")), 0.0
        else:
            answer, wait = {}, 0.0
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        asyncio.get_running_loop().call_later(wait, self._transport.write, head.encode() + body)

    def _described(self, name: str) -> dict[str, object]:
        address = self._transport.get_extra_info("sockname")
        field = {"type": "dense_vector", "dimension": int(name.rpartition("-")[2]), "metric": "cosine"}
        return {
            "name": name,
            "host": f"http://{address[0]}:{address[1]}",
            "status": {"ready": True, "state": "Ready"},
            "schema": {"fields": {"_values": field}},
            "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
            "deletion_protection": "disabled",
        }


async def _serve(latency: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    closed = asyncio.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await closed.wait()


def main() -> None:
    """Serve until standard input closes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds added to each upsert")
    asyncio.run(_serve(parser.parse_args().latency))


if __name__ == "__main__":
    main()
