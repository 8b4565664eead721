"""The batch runner: bytes in, vectors out, fetching and decoding ahead of the model. One bad item costs one row."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch

from pinery.errors import StoppedError, TerminalError
from pinery.imaging.budget import PIXELS_AT_ONCE, PixelBudget
from pinery.models.batching import BatchSize
from pinery.models.preparing import Clock, Outcome, Prepared, Preparer, Room, Vector
from pinery.models.protocol import Model

IN_FLIGHT = 2
"""Batches on their way through the model: one is computed while the next lies stacked."""
BATCH_WITHOUT_MODEL = 32
"""Items per batch of `auto` as long as no item needed the model."""
FIRST_SIZE, LARGEST_SIZE = 0.5, 4
"""Where `auto` begins and ends to look for a batch size, as factors of the model's own."""
BATCH_BYTES = 512 << 20
"""Of preprocessed images in one batch that `auto` tries at most."""


class Runner:
    """Embeds images with one model; the model and what was learnt of it live as long as the runner."""

    def __init__(
        self,
        build: Callable[[], Model],
        dimension: int,
        *,
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
            fetch_threads: how many threads fetch.
            decode_threads: how many images are decoded and preprocessed at once.
            max_pixels: of one image, judged before it is decoded.
            batch: images per batch, or `auto`: as many as make the model faster.
            expected: how many images the model will see in all, as far as is known; it is told so.
            pixels: of all images between decoding and preprocessing; a larger one is let in alone.
        """
        self._build, self._dimension = build, dimension
        self._threads, self._expected = fetch_threads, expected
        self._room = Room(threading.Semaphore(decode_threads), PixelBudget(pixels), max_pixels)
        self._model: Model | None = None
        # Until the model is there to say where `auto` begins, batches are of items that didn't need it.
        self._batch = None if batch == "auto" else BatchSize(batch, batch, fixed=True)
        self._cores = torch.get_num_threads()
        self._lock = threading.Lock()
        self._notes: deque[str] = deque()

    @property
    def batch_size(self) -> int:
        """Items in the next batch."""
        return BATCH_WITHOUT_MODEL if self._batch is None else self._batch.size

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
            timings: gets seconds added under `fetch` and `decode` (summed over the fetching threads, waiting for a
                turn to decode included) and `infer` (wall time).

        Raises:
            StoppedError: `stop` said so.
            TerminalError: a vector of another width than `dimension`, or no memory for even a single image.
            TransientError: no memory to decode or preprocess an image.
        """
        preparer = Preparer(fetch, known, self._loaded, self._room, Clock(timings))
        batches = self._batches(preparer, count)
        device = ThreadPoolExecutor(1, "model", torch.set_num_threads, (self._cores,))
        computing: deque[Future[list[Outcome]]] = deque()
        done = 0
        try:
            while done < count:
                if stop():
                    raise StoppedError(f"Stopped after {done:,} of the {count:,} images of this part.")
                # The next batch is gathered and stacked here while the model computes the last one.
                while len(computing) < IN_FLIGHT and (batch := next(batches, None)) is not None:
                    computing.append(device.submit(self._finish, *self._stacked(batch), preparer.clock))
                outcomes = computing.popleft().result()
                done += len(outcomes)
                while self._notes:
                    note(self._notes.popleft())
                yield outcomes
        finally:
            batches.close()
            device.shutdown(wait=True, cancel_futures=True)

    def _batches(self, preparer: Preparer, count: int) -> Generator[list[Prepared], None, None]:
        # Images are spread over threads; within one, torch would only make them wait for each other.
        pool = ThreadPoolExecutor(self._threads, "fetch", torch.set_num_threads, (1,))
        preparing: deque[Future[Prepared]] = deque()
        submitted = taken = 0
        try:
            while taken < count:
                batch: list[Prepared] = []
                while len(batch) < min(self.batch_size, count - taken):
                    # The next batch, and work for every thread beyond it.
                    ahead = self.batch_size + max(self.batch_size, self._threads)
                    while submitted < min(count, taken + ahead):
                        preparing.append(pool.submit(preparer.prepare, submitted))
                        submitted += 1
                    batch.append(preparing.popleft().result())
                taken += len(batch)
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            torch.set_num_threads(self._cores)  # threads to come take over what was set last

    def _loaded(self) -> Model:
        with self._lock:
            if self._model is None:
                model = self._build()
                model.expect(self._expected)
                if self._batch is None:
                    own = model.batch_size
                    self._batch = BatchSize(max(1, int(own * FIRST_SIZE)), own * LARGEST_SIZE)
                self._model = model
            return self._model

    def _stacked(self, batch: list[Prepared]) -> tuple[list[Outcome], list[int], torch.Tensor | None]:
        """The outcomes, which of them wait for a vector, and the images that these are of, stacked."""
        outcomes = [prepared.outcome for prepared in batch]
        waiting = [at for at, prepared in enumerate(batch) if prepared.image is not None]
        images = [prepared.image for prepared in batch if prepared.image is not None]
        if not images:
            return outcomes, waiting, None
        assert self._model is not None
        assert self._batch is not None
        if not self._batch.settled:
            self._batch.cap(BATCH_BYTES // images[0].nbytes)
        torch.set_num_threads(1)  # or this thread, too, gets OpenMP threads, and they slow those of the model
        try:
            return outcomes, waiting, torch.stack(images, out=_room_for(images, self._model.device))
        finally:
            torch.set_num_threads(self._cores)

    def _finish(
        self, outcomes: list[Outcome], waiting: list[int], images: torch.Tensor | None, clock: Clock
    ) -> list[Outcome]:
        if images is not None:
            with clock.measure("infer"):
                vectors = self._vectors(images)
            for at, vector in zip(waiting, vectors, strict=True):
                outcomes[at] = _judged(outcomes[at], vector)
        return outcomes

    def _vectors(self, images: torch.Tensor) -> list[Vector]:
        model, batch = self._model, self._batch
        assert model is not None
        assert batch is not None
        vectors: list[Vector] = []
        while len(vectors) < len(images):
            # A batch stacked before the last want of memory may be larger than what fits.
            chunk = images[len(vectors) : len(vectors) + batch.size]
            began = time.perf_counter()
            found = _embed(model, chunk)
            if found is None:
                self._shrink(model, batch, len(chunk))
                continue
            batch.took(len(chunk), time.perf_counter() - began)
            if found.shape != (len(chunk), self._dimension):
                expected = (len(chunk), self._dimension)
                raise TerminalError(f"{model.card.name} gave vectors of shape {found.shape}; expected {expected}.")
            vectors.extend(found.astype(np.float32, copy=False))
        return vectors

    def _shrink(self, model: Model, batch: BatchSize, images: int) -> None:
        if images == 1:
            raise TerminalError(f"Not enough memory on {model.device} to embed a single image with {model.card.name}.")
        size = batch.out_of_memory(images)
        self._notes.append(f"{images} images at once don't fit into the memory of {model.device}; going on with {size}")
        if model.device.startswith("cuda"):
            torch.cuda.empty_cache()


def _room_for(images: list[torch.Tensor], device: str) -> torch.Tensor:
    """Memory for a stack of images."""
    first = images[0]
    # Pictures are decoded with their channels last, and networks want them so: turned twice, they would take longer.
    last = first.ndim == 3 and first.stride(0) == 1
    layout = torch.channels_last if last else torch.contiguous_format
    # From page-locked memory an accelerator copies by itself, while the processor goes on.
    pinned, shape = device.startswith("cuda"), (len(images), *first.shape)
    return torch.empty(shape, dtype=first.dtype, memory_format=layout, pin_memory=pinned)


def _embed(model: Model, images: torch.Tensor) -> Vector | None:
    """Vectors (images, dimension), or None for want of memory."""
    try:
        return model.embed(images)
    except (torch.OutOfMemoryError, MemoryError):
        return None
    except RuntimeError as error:
        # torch's CPU allocator has no exception type of its own.
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            return None
        raise


def _judged(outcome: Outcome, vector: Vector) -> Outcome:
    if not np.isfinite(vector).all():
        error, values = "the model's vector has NaN or infinite values", None
    elif not vector.any():
        error, values = "the model's vector is all zeros", None
    else:
        error, values = None, vector
    return Outcome(outcome.position, outcome.sha256, values, error, moved=False, reused=False)
