"""The batch runner: bytes in, vectors out, fetching ahead of decoding and the model. One bad item costs one row."""

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
"""Of one process; with more, they would wait for Python's lock. From there on each gets several cores."""
STREAMS_OF_ACCELERATORS = 3
"""One batch is computed, one decoded, and one is the next."""
BYTES_AHEAD = 256 << 20
"""Of encoded images fetched before their turn; those in batches may be as many again."""
MOST_TOGETHER = 8
"""Items that a thread fetches in a row."""


class Runner:
    """Embeds images with one model; the model and what was learnt of it live as long as the runner.

    Streams are threads that take whole batches. On a processor each decodes its batch and computes it on a core of its
    own: cores that compute one batch together stand still as soon as something else takes one of them. Accelerators
    compute for one stream, while threads decode for the others.
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
        """Loads nothing yet.

        Args:
            build: builds the model; called once, and only when an item needs it.
            dimension: the width that every vector must have.
            device: where the model will compute.
            fetch_threads: how many threads fetch.
            decode_threads: how many images are decoded and preprocessed at once, at most.
            max_pixels: of one image, judged before it is decoded.
            batch: images per batch, or `auto`: as many as make the model faster.
            expected: how many images the model will see in all, as far as is known; it is told so.
            pixels: of all images between decoding and preprocessing; a larger one is let in alone.
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
        """Batches taken at once: one in each stream and one waiting for it."""
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

        Args:
            fetch: the encoded bytes of a position; called from several threads. BadImageError makes an error row,
                MovedError a moved one, anything else ends this generator.
            known: the checkpointed vector of these bytes (their SHA-256 in hex), or None; called from several threads.
            note: told what the person who watches should know, such as a batch that didn't fit into memory.
            stop: asked before each batch.
            timings: gets seconds added under `fetch`, `decode` and `infer`: how long a thread of those that do it was
                at it, as the mean of them.

        Raises:
            StoppedError: `stop` said so.
            TerminalError: a vector of another width than `dimension`, or no memory for even a single image.
            TransientError: no memory to decode or preprocess an image.
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
            stack.callback(torch.set_num_threads, self._cores)  # threads to come take over what was set last
            decoders = stack.enter_context(_pool("decode", self._decode_threads, 1)) if own else None
            computers = stack.enter_context(_pool("stream", streams, max(1, self._cores // streams)))
            fetchers = stack.enter_context(_pool("fetch", self._fetch_threads, 1))
            backlog = Backlog(BYTES_AHEAD)
            stack.callback(backlog.close)
            batches = self._batches(Fetcher(fetch, known, clock), count, fetchers, backlog)
            while done < count:
                if stop():
                    raise StoppedError(f"Stopped after {done:,} of the {count:,} images of this part.")
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
        """How many items a thread fetches in a row: several small ones, as handing one over costs what reading does."""
        # Of those of a turn all are fetched, whatever room there is: they must be few bytes.
        fitting = BYTES_AHEAD // (4 * self._fetch_threads * largest) if largest else 1
        return max(1, min(MOST_TOGETHER, wanted // (2 * self._fetch_threads), fitting))


@contextmanager
def _pool(name: str, threads: int, cores: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute on so many cores each; at the end what waits is dropped, and what runs ends."""
    pool = ThreadPoolExecutor(threads, name, torch.set_num_threads, (cores,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
