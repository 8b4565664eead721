"""Measures images per second fetched from S3 by threads and processes, with 50 ms to the first byte.

python benchmarks/s3_fetch.py [--delay-ms 50] [--clients 1x64 2x32]

The S3 here is a process of its own on loopback, which answers every GET after the delay and does nothing else, so that
what is measured is the client: Pinery's, and beside it boto3's with its default settings.
"""

import argparse
import asyncio
import contextlib
import hashlib
import io
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import boto3
import numpy as np
import torch
from measuring.machine import keep, table
from PIL import Image

from pinery.embedding.runner import Runner
from pinery.models.descriptor import Descriptor
from pinery.source_kinds import S3Source
from pinery.sources.s3 import S3Prefix

SIDE = 256
SECONDS = 3.0
"""About how long one measurement takes, as far as the delay decides it."""
LEAST, MOST = 40, 1500
START_SECONDS = 120
"""For all processes to be ready; one that died must not be waited for."""
CLIENTS = ("1x1", "1x8", "1x16", "1x64", "1x128", "2x32", "2x64", "4x16", "4x64")
"""Processes, and threads of each."""

Run = Callable[[int], object]
"""Does so many images."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The work of each process of a measurement."""

    count: int
    """Images each time."""
    repeats: int
    cores: int
    """The CUDA device to compute on."""


def picture() -> bytes:
    """Return a JPEG with some detail."""
    small = np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def serve(pipe: Connection, body: bytes, delay: float) -> None:
    """Send the port, then answer GETs in S3's form until killed."""
    tag = hashlib.md5(body).hexdigest()
    head = f'HTTP/1.1 200 OK\r\nETag: "{tag}"\r\nContent-Length: {len(body)}\r\nContent-Type: image/jpeg\r\n\r\n'
    answer = head.encode() + body

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(delay)
                writer.write(answer)
                await writer.drain()

    async def listen() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=512)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(listen())


@contextlib.contextmanager
def slow_s3(body: bytes, delay: float) -> Iterator[str]:
    """Yield the endpoint of such a server."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, body, delay))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def fetching(endpoint: str, tag: str, threads: int) -> Run:
    """Return a runner that fetches with Pinery's source alone."""
    source = S3Prefix(S3Source(kind="s3", uri="s3://photos", endpoint_url=endpoint, region="us-east-1"))
    return on_threads(lambda at: source.fetch(f"s3://photos/{at}.jpg", tag, 1 << 20), threads)


def plain(endpoint: str, _tag: str, threads: int) -> Run:
    """Return a runner that fetches with boto3 at its defaults."""
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    return on_threads(lambda at: client.get_object(Bucket="photos", Key=f"{at}.jpg")["Body"].read(), threads)


def on_threads(work: Callable[[int], object], threads: int) -> Run:
    """Return a runner of `work` on so many threads, which live as long as the process."""
    pool = ThreadPoolExecutor(threads)
    return lambda count: list(pool.map(work, range(count)))


def embedding(endpoint: str, tag: str, threads: int) -> Run:
    """Return the batch runner: fetched, hashed, decoded and embedded with `descriptor`."""
    source = S3Prefix(S3Source(kind="s3", uri="s3://photos", endpoint_url=endpoint, region="us-east-1"))
    model = Descriptor()
    cores = torch.get_num_threads()
    runner = Runner(
        lambda: model, model.card.dimension, fetch_threads=threads, decode_threads=cores, max_pixels=10**7, batch=32
    )

    def run(images: int) -> None:
        outcomes = runner.embed(
            images,
            lambda at: source.fetch(f"s3://photos/{at}.jpg", tag, 1 << 20),
            lambda _: None,
            note=print,
            stop=lambda: False,
            timings={},
        )
        assert all(outcome.values is not None for batch in outcomes for outcome in batch)

    return run


def work(
    pipe: Connection, start: Barrier, prepare: Callable[..., Run], given: tuple[str, str, int], runs: Runs
) -> None:
    """Warm up, as one client process, then run as often as `runs` says, each time together with the others."""
    torch.set_num_threads(runs.cores)
    run = prepare(*given)
    run(max(32, given[-1]))  # connections are made, code is warm
    for _ in range(runs.repeats):
        start.wait(START_SECONDS)
        began = time.monotonic()
        run(runs.count)
        pipe.send((began, time.monotonic()))


def rate(prepare: Callable[..., Run], given: tuple[str, str, int], processes: int, runs: Runs) -> float:
    """Return images per second of so many processes together; the median of the repeats."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(processes)
    pipes, clients = [], []
    for _ in range(processes):
        ours, theirs = context.Pipe()
        clients.append(context.Process(target=work, args=(theirs, start, prepare, given, runs), daemon=True))
        clients[-1].start()
        theirs.close()
        pipes.append(ours)
    times = [[pipe.recv() for pipe in pipes] for _ in range(runs.repeats)]
    for client in clients:
        client.join()
    spans = [max(ended for _, ended in each) - min(began for began, _ in each) for each in times]
    return statistics.median(processes * runs.count / span for span in spans)


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--clients", nargs="+", default=CLIENTS, help=f"default: {' '.join(CLIENTS)}")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    body, delay = picture(), given.delay_ms / 1000
    tag, rows = hashlib.md5(body).hexdigest(), []
    cores = torch.get_num_threads()
    with slow_s3(body, delay) as endpoint:
        for client in given.clients:
            processes, threads = (int(number) for number in client.split("x"))
            ideal = processes * threads / delay
            count = int(min(MOST, max(LEAST, ideal * SECONDS))) // processes
            runs = Runs(count, given.repeats, max(1, cores // processes))
            rates = [rate(way, (endpoint, tag, threads), processes, runs) for way in (fetching, plain, embedding)]
            rows.append([str(processes), str(threads), f"{ideal:,.0f}", *(f"{one:,.0f}" for one in rates)])
            print(rows[-1], flush=True)
    head = ["processes", "threads of each", "the delay allows", "fetched", "fetched by boto3 as it comes"]
    about = (
        f"Images per second from a local server that answers each GET after {given.delay_ms:g} ms with a JPEG of"
        f" {len(body):,} bytes ({SIDE} x {SIDE} pixels), client processes together; server and clients share the"
        f" machine. Medians of {given.repeats}. Processes share the cores to compute on among themselves. TLS and"
        " larger images take more of the CPU than these do."
    )
    page = f"{about}\n\n{table([*head, 'embedded by `descriptor`'], rows)}"
    keep("s3_fetch", "Fetching from S3", ["boto3", "botocore", "torch"], page)


if __name__ == "__main__":
    main()
