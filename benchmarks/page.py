"""The page's server over loopback: searches by id at a steady rate, facets, and the first screen of a million items.

Run as `python benchmarks/page.py [--rows N] [--items N] [--rate R] [--seconds S]`; writes benchmarks/results/page.md.
Client and server share the machine's cores. Searches arrive at their times whether or not earlier ones are answered,
and a latency counts from a search's time of arrival.
"""

import argparse
import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import psutil
import pyarrow as pa
import yaml
from measuring.machine import keep, table
from PIL import Image
from search import DIMENSION, THREADS, TOP_K, WARM, at_a_rate, batches, fill, name_of, vectors, warm_scan

from pinery.checkpoint.listings import write_listing
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.planning.nearest import Nearest
from pinery.records import LISTING_SCHEMA

ROOT = Path(__file__).parent.parent
TILES, CONNECTIONS, PICTURES = 60, 6, 8
"""The matches of a search; the tiles of a screen, which a browser fetches by so many connections; the pictures that
the items of the large corpus show again and again."""
STARTS = 5


class Client:
    """Asks a server, with a connection for each thread that is kept open."""

    def __init__(self, port: int) -> None:
        self._port, self._own = port, threading.local()

    def get(self, path: str) -> bytes:
        """Return a body; fail where the status is not 200."""
        try:
            answer = self._asked(path)
        except (http.client.RemoteDisconnected, ConnectionError):  # idle for too long: the server closed it
            self._own.connection.close()
            answer = self._asked(path)
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} was answered by {answer.status}: {body[:300]!r}")
        return body

    def _asked(self, path: str) -> http.client.HTTPResponse:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        self._own.connection.request("GET", path, headers={"accept": "*/*"})
        found: http.client.HTTPResponse = self._own.connection.getresponse()
        return found

    def json(self, path: str, **query: Any) -> Any:
        """Return a body as JSON."""
        return json.loads(self.get(f"{path}?{urlencode(query)}"))

    def timed(self, path: str) -> float:
        """Return the seconds until an answer is there."""
        start = time.perf_counter()
        self.get(path)
        return time.perf_counter() - start


@contextlib.contextmanager
def serving(config: Path) -> Iterator[tuple[Client, psutil.Process]]:
    """Start `pinery serve`, and yield a client and the process as soon as it says that it is up."""
    command = [sys.executable, "-m", "flows.cli", "serve", str(config), "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True, env=environment)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        yield Client(int(said.partition("127.0.0.1:")[2].partition(",")[0])), psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def measure_search(config: Path, rows: int, rate: float, seconds: float) -> dict[str, Any]:
    """Return the latencies of searches by id at a rate, and their recall."""
    queries = np.random.default_rng(3).integers(0, rows, int(rate * seconds)).tolist()
    with serving(config) as (client, process):

        def ask(number: int) -> list[str]:
            found = client.json("/api/search", id=name_of(number), top_k=TOP_K)
            return [one["id"] for one in found["matches"]]

        while client.json("/api/search", id=name_of(0))["strong"] is None:
            time.sleep(0.2)  # until strengths are measured, which takes a core
        for number in range(WARM):
            ask(number)
        before = process.cpu_times()
        taken = at_a_rate(ask, queries, rate, THREADS)
        after = process.cpu_times()
        asked = queries[:200]
        found = [set(ask(number)) for number in asked]
    cpu = (after.user + after.system - before.user - before.system) / len(queries)
    return {"taken": taken, "cpu": cpu} | exact(rows, queries, asked, found, rate)


def exact(
    rows: int, queries: Sequence[int], asked: Sequence[int], found: Sequence[set[str]], rate: float
) -> dict[str, Any]:
    """Return the recall of what was found, and the latencies of a scan of the matrix in this process."""
    matrix = np.concatenate([vectors(*one) for one in batches(rows)])
    nearest = Nearest(matrix[asked], TOP_K + 1)
    for first, last in batches(rows):
        nearest.add([name_of(n) for n in range(first, last)], matrix[first:last])
    near = zip(asked, nearest.found(), strict=True)
    true = [{one.id for one in some if one.id != name_of(number)} for number, some in near]
    recall = statistics.mean(len(some & other) / TOP_K for some, other in zip(true, found, strict=True))

    scan = warm_scan(matrix)
    return {"recall": recall, "scan": at_a_rate(scan, queries, rate, 1)}  # the product uses all cores itself


def large_corpus(folder: Path, items: int) -> Path:
    """Write a corpus of so many items that show a few pictures, with a listing and no index; return its config."""
    images = folder / "images"
    images.mkdir()
    for number in range(PICTURES):
        noise = np.random.default_rng(number).integers(0, 255, (32, 48, 3), np.uint8)
        out = io.BytesIO()
        Image.fromarray(noise).resize((1200, 800)).save(out, "JPEG", quality=90)
        (images / f"{number}.jpg").write_bytes(out.getvalue())
    settings = {"corpus": "large", "source": {"kind": "folder", "path": str(images)}, "state": str(folder / "large")}
    config = folder / "large.yaml"
    config.write_text(yaml.safe_dump(settings | {"model": "descriptor"}))
    corpus = Corpus(load_config(str(config)))
    known = [row for batch in corpus.source.list_batches() for row in batch.to_pylist()]
    path = folder / "listing.parquet"
    write_listing(repeated(known, items), path, lambda _: None)
    corpus.store.publish(corpus.paths.listing("20260101T000000000000Z-aaaaaa"), path)
    return config


def repeated(known: list[dict[str, Any]], items: int) -> Iterator[pa.RecordBatch]:
    """Yield so many items of the known pictures, each with an id of its own and some metadata."""
    for first, last in batches(items):
        rows = []
        for number in range(first, last):
            facts = {"label": f"label {number % 37}", "year": 1950 + number % 70, "camera": f"camera {number % 5000}"}
            texts = {
                "id": f"photos/{number:07}.jpg",
                "metadata": json.dumps(facts | {"tags": ["a", "b"][: number % 3]}),
            }
            rows.append(known[number % len(known)] | texts)
        yield pa.RecordBatch.from_pylist(rows, schema=LISTING_SCHEMA)


def screen(client: Client, query: str) -> tuple[float, float]:
    """Return the seconds until a page of items is there, and until all its thumbnails are."""
    start = time.perf_counter()
    found = json.loads(client.get(f"/api/items?limit={TILES}{query}"))["items"]
    listed = time.perf_counter() - start
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(client.get, [one["thumb"] for one in found]))
    return listed, time.perf_counter() - start


def measure_large(config: Path, items: int) -> dict[str, Any]:
    """Return what a corpus of a million items costs its visitors and its server."""
    first, jumps, again, pages = [], [], [], []
    for _ in range(STARTS):
        shutil.rmtree(config.parent / "large" / ".cache" / "thumbs", ignore_errors=True)
        with serving(config) as (client, _process):
            first.append(screen(client, ""))
            jumps.append(screen(client, f"&start={items - TILES}"))
            again.append(screen(client, ""))
            pages.append(client.timed("/"))
    with serving(config) as (client, process):
        screen(client, "")
        counted = client.timed("/api/facets?wait=60")
        warm = [client.timed("/api/facets") for _ in range(50)]
        some = quote(json.dumps({"year": {"$gte": 1990}, "label": "label 3"}))
        filtered = [client.timed(f"/api/items?filter={some}") for _ in range(20)]
        cold = filtered.pop(0)
        narrow = client.timed(f"/api/facets?wait=60&filter={some}")
        memory = process.memory_full_info().uss / 2**20
    found = {"first": first, "jumps": jumps, "again": again, "pages": pages, "counted": counted, "warm": warm}
    return found | {"filtered": filtered, "cold": cold, "narrow": narrow, "memory": memory}


def line(what: str, milliseconds: Sequence[float]) -> list[str]:
    """Return a line of a table: median, 99th percentile and maximum."""
    return [what, *(f"{np.quantile(milliseconds, share):,.1f}" for share in (0.5, 0.99, 1))]


def told(given: argparse.Namespace, found: dict[str, Any], large: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    searches = [line("/api/search", found["taken"]), line("NumPy, the matrix in memory", found["scan"])]
    screens = [
        line(f"{what}: {part}", [1000 * one[place] for one in large[key]])
        for key, what in (("first", "first screen"), ("jumps", "jump to the end"), ("again", "first screen again"))
        for place, part in enumerate(("items", f"items and {TILES} thumbnails"))
    ]
    others = [
        line(what, [1000 * one for one in large[key]])
        for key, what in (
            ("pages", "the page itself, `/`"),
            ("warm", "facets, counted before"),
            ("filtered", "items of a filter, found before"),
        )
    ]
    head = ["", "p50", "p99", "longest"]
    return (
        f"`/api/search` by id for the nearest {TOP_K} of {given.rows:,} vectors of {DIMENSION} dimensions in the"
        f" embedded index, {given.rate:g} requests a second for {given.seconds:g} s, over loopback from a client on the"
        " same cores, in milliseconds; beside it one product of matrix and vector at a time in the client, without"
        f" HTTP, addresses, metadata and strengths.\n\n{table(head, searches)}\n\n"
        f"Recall@{TOP_K} against exact search {found['recall']:.4f} (200 queries); {1000 * found['cpu']:.1f} ms of the"
        f" server's CPU time for each.\n\nA corpus of {given.items:,} items with four fields of metadata; {STARTS}"
        " servers were asked as soon as they said that they were up. A screen's thumbnails come over six connections"
        " and are made of pictures of 1200 x 800 pixels, but for `again`, for which they are on the disk; in"
        f" milliseconds.\n\n{table(head, [*screens, *others])}\n\n"
        f"Counting all facets for the first time took {large['counted']:.1f} s, for which nothing else waits; those of"
        f" a filter {large['narrow']:.1f} s, and its items {large['cold']:.1f} s. After all that the server had"
        f" {large['memory']:,.0f} MiB of memory for itself."
    )


def main() -> None:
    """Fill an index, write a large listing, start servers, ask, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = {"name": "descriptor", "decode": "exact", "precision": "fp32"}
        source = {"kind": "folder", "path": name}
        settings = {"corpus": "test", "source": source, "model": model, "state": f"{name}/state"}
        fill(settings, given.rows)
        (folder / "search.yaml").write_text(yaml.safe_dump(settings))
        found = measure_search(folder / "search.yaml", given.rows, given.rate, given.seconds)
        large = measure_large(large_corpus(folder, given.items), given.items)
    packages = ["fastapi", "uvicorn", "lancedb", "duckdb", "numpy", "pyarrow", "pillow"]
    keep("page", "The search page's server", packages, told(given, found, large))


if __name__ == "__main__":
    main()
