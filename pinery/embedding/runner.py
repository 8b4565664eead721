"""The batch runner: bytes in, vectors out. It reads ahead of decoding and the model; one bad item costs one row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch

from pinery.cores import cores
from pinery.embedding.clock import Clock
from pinery.embedding.columns import Batch, Known
from pinery.embedding.embedder import Embedder
from pinery.embedding.reading import BYTES_AHEAD, Read, Reader
from pinery.embedding.repeats import Repeats
from pinery.errors import StoppedError
from pinery.imaging.budget import PIXELS_AT_ONCE, PixelBudget
from pinery.models.protocol import Model

MOST_STREAMS = 16
"""Streams of one process at most: more of them would wait for Python's lock. Beyond that each gets several cores."""
STREAMS_OF_ACCELERATORS = 3
"""One batch is being computed, one decoded, and one is next."""


class Runner:
    """Embeds images with one model; the model and the batch size found for it live as long as the runner.

    Streams are threads that take whole batches. On a CPU each stream decodes its batch and computes it on a core of its
    own, because cores that share a batch all stand still as soon as something else takes one of them. A GPU computes
    for one stream at a time, while other threads decode for the others.
    """

    def __init__(
        self,
        build: Callable[[], Model],
        dimension: int,
        *,
        device: str = "cpu",
        fetch_threads: int,
        decode_threads: int,
        max_pixels: int,
        batch: int | Literal["auto"] = "auto",
        expected: int = 0,
        pixels: int = PIXELS_AT_ONCE,
        share: int = 1,
    ) -> None:
        """Load nothing yet.

        Args:
            build: builds the model; called once, and only when an item needs it.
            dimension: the number of values that every vector must have.
            device: the device that the model will compute on.
            fetch_threads: the number of threads that read items.
            decode_threads: the number of images that are decoded and preprocessed at once, at most.
            max_pixels: the most pixels that an image may have, checked before it is decoded.
            batch: images per batch; `auto` looks for the size that makes the model fastest.
            expected: the number of images that the model will see in all, as far as is known.
            pixels: the most pixels of all images that are decoded or preprocessed at once; a larger image goes alone.
            share: the number of processes that share the device; none of them takes batches that fill it alone.
        """
        self._fetch_threads, self._decode_threads, self._dimension = fetch_threads, decode_threads, dimension
        self._cores = min(torch.get_num_threads(), cores())
        self._own_decoders = device != "cpu"
        streams = min(decode_threads, self._cores, MOST_STREAMS)
        self._streams = STREAMS_OF_ACCELERATORS if self._own_decoders else streams
        self._embedder = Embedder(
            build,
            dimension,
            PixelBudget(pixels),
            max_pixels,
            device=device,
            batch=batch,
            expected=expected,
            at_once=self._streams,
            alone=self._own_decoders,
            decode_threads=decode_threads,
            share=share,
        )

    @property
    def batch_size(self) -> int:
        """Items in the next batch."""
        return self._embedder.batch_size

    @property
    def short_of_memory(self) -> bool:
        """True once a batch didn't fit into memory."""
        return self._embedder.short_of_memory

    @property
    def in_flight(self) -> int:
        """Batches taken at once: one in each stream, and one that waits for it."""
        return 2 * self._streams

    def embed(
        self,
        sizes: Sequence[int],
        read: Read,
        known: Known,
        *,
        note: Callable[[str], None],
        stop: Callable[[], bool],
        timings: dict[str, float],
    ) -> Iterator[Batch]:
        """Yield the items of a part in order, in batches.

        Raises StoppedError where `stop` returns true; TerminalError where the vectors have another dimension, or there
        isn't enough memory for a single image; TransientError where there isn't enough memory to decode or preprocess
        an image; and what `read` and `known` raise.

        Args:
            sizes: each item's bytes as listed, -1 where the source doesn't say.
            read: returns for a range of items their encoded bytes, or why they have none; called from several threads.
            known: has the vectors of the checkpoint.
            note: called with notes for the user, such as that a batch didn't fit into memory.
            stop: called before each batch; the run stops where it returns true.
            timings: gets seconds added under `fetch`, `decode` and `infer`: the time that each thread that does this
                work was busy with it, as the mean over these threads.
        """
        repeats = Repeats(known, self._dimension)
        computing: deque[Future[Batch]] = deque()
        done, count = 0, len(sizes)
        with ExitStack() as stack:
            submit, reader = self._start(stack, sizes, read, timings)
            while done < count:
                if stop():
                    raise StoppedError(f"stopped after {done:,} of the {count:,} images of this part")
                while len(computing) < self.in_flight and reader.left:
                    batch = reader.take(self._wanted(reader.left), BYTES_AHEAD // self.in_flight)
                    repeats.find(batch)
                    computing.append(submit(batch))
                batch = computing.popleft().result()
                repeats.settle(batch)
                done += batch.items
                for text in self._embedder.notes():
                    note(text)
                yield batch

    def _wanted(self, left: int) -> int:
        """Items that a stream is to take next of those that are left: so many that all streams get some."""
        return self.batch_size * max(1, min(self._embedder.batches_at_once, left // (self.in_flight * self.batch_size)))

    def _start(
        self, stack: ExitStack, sizes: Sequence[int], read: Read, timings: dict[str, float]
    ) -> tuple[Callable[[Batch], Future[Batch]], Reader]:
        """Start the threads of one part; return what gives them a batch, and what reads the items."""
        own, streams = self._own_decoders, self._streams
        fetching = max(1, min(self._fetch_threads, len(sizes)))
        decoding = self._decode_threads if own else streams
        clock = Clock(timings, {"fetch": fetching, "decode": decoding, "infer": 1 if own else streams})
        stack.callback(torch.set_num_threads, self._cores)  # new threads inherit what was set last
        decoders = stack.enter_context(_pool("decode", self._decode_threads, 1)) if own else None
        computers = stack.enter_context(_pool("stream", streams, max(1, self._cores // streams)))
        fetchers = stack.enter_context(_pool("fetch", fetching, 1))

        def submit(batch: Batch) -> Future[Batch]:
            return computers.submit(self._embedder, batch, clock, decoders)

        return submit, Reader(read, sizes, clock, fetchers, fetching)


@contextmanager
def _pool(name: str, threads: int, cores: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute on `cores` cores each; at the end, waiting work is dropped and running work is finished."""
    pool = ThreadPoolExecutor(threads, name, torch.set_num_threads, (cores,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
