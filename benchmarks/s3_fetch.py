"""How many threads does fetching from S3 want? Images per second against threads, with 50 ms to the first byte.

python benchmarks/s3_fetch.py [--delay-ms 50] [--threads 1 8 16 64 128]

The S3 here is a process of its own on loopback, which answers every GET after the delay and does nothing else, so that
what is measured is the client: Pinery's, and beside it boto3's with its default settings.
"""

from __future__ import annotations

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
from multiprocessing.connection import Connection

import boto3
import numpy as np
import torch
from machine import keep, table
from PIL import Image

from pinery.config import S3Source
from pinery.models.descriptor import Descriptor
from pinery.models.runner import Runner
from pinery.sources.s3 import S3Prefix

SIDE = 256
SECONDS = 3.0
"""About how long one measurement takes, as far as the delay decides it."""
LEAST, MOST = 40, 1500


def picture() -> bytes:
    """A JPEG with some detail."""
    small = np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def serve(pipe: Connection, body: bytes, delay: float) -> None:
    """Answer GETs in S3's form until killed; sends the port first."""
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
    """The endpoint of such a server."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, body, delay))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def rate(count: int, work: Callable[[int], object], threads: int) -> float:
    """Images per second of `work` on so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))  # connections are made, code is warm
        began = time.perf_counter()
        list(pool.map(work, range(count)))
        return count / (time.perf_counter() - began)


def fetching(endpoint: str, tag: str, count: int, threads: int) -> float:
    """Pinery's source alone."""
    source = S3Prefix(S3Source(kind="s3", uri="s3://photos", endpoint_url=endpoint, region="us-east-1"))
    return rate(count, lambda at: source.fetch(f"s3://photos/{at}.jpg", tag, 1 << 20), threads)


def plain(endpoint: str, _tag: str, count: int, threads: int) -> float:
    """boto3 as it comes."""
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    return rate(count, lambda at: client.get_object(Bucket="photos", Key=f"{at}.jpg")["Body"].read(), threads)


def embedding(endpoint: str, tag: str, count: int, threads: int) -> float:
    """The batch runner: fetched, hashed, decoded and embedded with `descriptor`."""
    source = S3Prefix(S3Source(kind="s3", uri="s3://photos", endpoint_url=endpoint, region="us-east-1"))
    model = Descriptor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
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

    run(max(32, threads))
    began = time.perf_counter()
    run(count)
    return count / (time.perf_counter() - began)


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 8, 16, 64, 128))
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    body, delay = picture(), given.delay_ms / 1000
    tag, rows = hashlib.md5(body).hexdigest(), []
    with slow_s3(body, delay) as endpoint:
        for threads in given.threads:
            ideal = threads / delay
            count = int(min(MOST, max(LEAST, ideal * SECONDS)))
            rates = [
                statistics.median(measure(endpoint, tag, count, threads) for _ in range(given.repeats))
                for measure in (fetching, plain, embedding)
            ]
            rows.append([str(threads), f"{ideal:,.0f}", *(f"{one:,.0f}" for one in rates)])
            print(rows[-1], flush=True)
    head = ["threads", "the delay allows", "fetched", "fetched by boto3 as it comes", "embedded by `descriptor`"]
    about = (
        f"Images per second from a local server that answers each GET after {given.delay_ms:g} ms with a JPEG of"
        f" {len(body):,} bytes ({SIDE} x {SIDE} pixels), one client process; server and client share the machine."
        f" Medians of {given.repeats}. `descriptor` on one thread of"
        " torch. TLS and larger images take more of the processor than these do."
    )
    keep("s3_fetch", "Fetching from S3", ["boto3", "botocore", "torch"], f"{about}\n\n{table(head, rows)}")


if __name__ == "__main__":
    main()
