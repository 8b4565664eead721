"""The batch runner: bytes in, vectors out. It fetches ahead of decoding and the model; one bad item costs one row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch

from pinery.errors import StoppedError
from pinery.imaging.budget import PIXELS_AT_ONCE, PixelBudget
from pinery.models.backlog import Backlog
from pinery.models.embedder import Embedder
from pinery.models.preparing import Clock, Decoder, Fetched, Fetcher, Outcome, Vector
from pinery.models.protocol import Model

MOST_STREAMS = 16
"""Streams of one process at most: more of them would wait for Python's lock. Beyond that each gets several cores."""
STREAMS_OF_ACCELERATORS = 3
"""One batch is being computed, one decoded, and one is next."""
BYTES_AHEAD = 256 << 20
"""Bytes of encoded images that are fetched before their turn; those in batches may be as many again."""
MOST_TOGETHER = 8
"""How many items a thread fetches in a row at most."""


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
    ) -> None:
        """Load nothing yet.

        Args:
            build: builds the model; called once, and only when an item needs it.
            dimension: how many values every vector must have.
            device: the device that the model will compute on.
            fetch_threads: how many threads fetch.
            decode_threads: how many images are decoded and preprocessed at once, at most.
            max_pixels: the most pixels that an image may have, checked before it is decoded.
            batch: images per batch; `auto` looks for the size that makes the model fastest.
            expected: how many images the model will see in all, as far as is known.
            pixels: the most pixels of all images that are decoded or preprocessed at once; a larger image goes alone.
        """
        self._fetch_threads, self._decode_threads = fetch_threads, decode_threads
        self._cores = torch.get_num_threads()
        self._own_decoders = device != "cpu"
        cores = min(decode_threads, self._cores, MOST_STREAMS)
        self._streams = STREAMS_OF_ACCELERATORS if self._own_decoders else cores
        self._embedder = Embedder(
            build,
            dimension,
            Decoder(PixelBudget(pixels), max_pixels),
            batch=batch,
            expected=expected,
            at_once=self._streams,
            alone=self._own_decoders,
            decode_threads=decode_threads,
        )

    @property
    def batch_size(self) -> int:
        """Items in the next batch."""
        return self._embedder.batch_size

    @property
    def in_flight(self) -> int:
        """How many batches are taken at once: one in each stream, and one that waits for it."""
        return 2 * self._streams

    def embed(
        self,
        count: int,
        fetch: Callable[[int], bytes],
        known: Callable[[str], Vector | None],
        *,
        note: Callable[[str], None],
        stop: Callable[[], bool],
        timings: dict[str, float],
    ) -> Iterator[list[Outcome]]:
        """The outcomes of the positions 0 to `count` - 1, in order, one list per batch.

        Raises StoppedError where `stop` returns true; TerminalError where the vectors have another dimension, or there
        isn't enough memory for a single image; and TransientError where there isn't enough memory to decode or
        preprocess an image.

        Args:
            count: how many items there are.
            fetch: returns the encoded bytes of a position; called from several threads. Where it raises BadImageError,
                the item gets an error, where MovedError, it has moved; any other error ends this generator.
            known: returns the checkpointed vector (dimension,), float32, for the SHA-256 in hex of an item's bytes, or
                None; called from several threads.
            note: called with notes for the user, such as that a batch didn't fit into memory.
            stop: called before each batch; the run stops where it returns true.
            timings: gets seconds added under `fetch`, `decode` and `infer`: how long each thread that does this work
                was busy with it, as the mean over these threads.
        """
        own, streams = self._own_decoders, self._streams
        clock = Clock(
            timings,
            {
                "fetch": self._fetch_threads,
                "decode": self._decode_threads if own else streams,
                "infer": 1 if own else streams,
            },
        )
        computing: deque[Future[list[Outcome]]] = deque()
        done = 0
        with ExitStack() as stack:
            stack.callback(torch.set_num_threads, self._cores)  # new threads inherit what was set last
            decoders = stack.enter_context(_pool("decode", self._decode_threads, 1)) if own else None
            computers = stack.enter_context(_pool("stream", streams, max(1, self._cores // streams)))
            fetchers = stack.enter_context(_pool("fetch", self._fetch_threads, 1))
            backlog = Backlog(BYTES_AHEAD)
            stack.callback(backlog.close)
            batches = self._batches(Fetcher(fetch, known, clock), count, fetchers, backlog)
            while done < count:
                if stop():
                    raise StoppedError(f"stopped after {done:,} of the {count:,} images of this part")
                while len(computing) < self.in_flight and (batch := next(batches, None)) is not None:
                    computing.append(computers.submit(self._embedder, batch, clock, decoders))
                outcomes = computing.popleft().result()
                done += len(outcomes)
                for text in self._embedder.notes():
                    note(text)
                yield outcomes

    def _batches(
        self, fetcher: Fetcher, count: int, pool: ThreadPoolExecutor, backlog: Backlog
    ) -> Generator[list[Fetched], None, None]:
        def fetch(turn: int, positions: range) -> list[Fetched]:
            fetched = []
            for position in positions:
                backlog.wait(turn)
                fetched.append(fetcher(position))
                backlog.fetched(fetched[-1].size)
            return fetched

        fetching: deque[Future[list[Fetched]]] = deque()
        ready: deque[Fetched] = deque()
        turns = submitted = taken = largest = 0
        while taken < count:
            batch: list[Fetched] = []
            wanted, room = self.batch_size, BYTES_AHEAD // self.in_flight
            together = self._together(min(wanted, count), largest)
            while len(batch) < wanted and taken < count and room > 0:
                ahead = min(count, taken + 2 * max(wanted, self._fetch_threads))
                while submitted < ahead:
                    positions = range(submitted, min(count, submitted + together))
                    fetching.append(pool.submit(fetch, turns, positions))
                    turns, submitted = turns + 1, positions.stop
                if not ready:
                    ready.extend(fetching.popleft().result())
                    backlog.taken(sum(fetched.size for fetched in ready))
                batch.append(ready.popleft())
                taken, room, largest = taken + 1, room - batch[-1].size, max(largest, batch[-1].size)
            yield batch

    def _together(self, wanted: int, largest: int) -> int:
        """How many items a thread fetches in a row: several if they are small, because a hand-over costs time too."""
        # All items of a turn are fetched, whatever room there is, so they must have few bytes.
        fitting = BYTES_AHEAD // (4 * self._fetch_threads * largest) if largest else 1
        return max(1, min(MOST_TOGETHER, wanted // (2 * self._fetch_threads), fitting))


@contextmanager
def _pool(name: str, threads: int, cores: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute on `cores` cores each; at the end, waiting work is dropped and running work is finished."""
    pool = ThreadPoolExecutor(threads, name, torch.set_num_threads, (cores,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
