"""The batch runner: bytes in, vectors out, fetching and decoding ahead of the model. One bad item costs one row."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pinery.errors import BadImageError, MovedError, StoppedError, TerminalError, TransientError
from pinery.imaging.budget import PixelBudget
from pinery.imaging.decode import decode, pixels_needed
from pinery.models.protocol import Model

Vector = npt.NDArray[np.float32]

LOOK_AHEAD = 3
"""Batches of preprocessed images in memory at most, the one in the model among them."""
BATCH_WITHOUT_MODEL = 32
"""Items per batch as long as no item needed the model."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item. Exactly one of `values`, `error` and `moved` is set."""

    position: int
    """Index into the work list."""
    sha256: str | None
    """Of the image's bytes; None where no bytes were had."""
    values: Vector | None
    """Shape (dimension,), float32."""
    error: str | None
    """The quarantine reason."""
    moved: bool
    reused: bool
    """Whether `values` is an already checkpointed vector of the same bytes."""


def embed_images(
    model: Callable[[], Model],
    count: int,
    fetch: Callable[[int], bytes],
    known: Callable[[str], Vector | None],
    *,
    threads: int,
    max_pixels: int,
    dimension: int,
    progress: Callable[[int], None],
    stop: Callable[[], bool],
    timings: dict[str, float],
) -> Iterator[list[Outcome]]:
    """The outcomes of the positions 0 to `count` - 1, in order, one list per batch of the model.

    Args:
        model: builds the model; called once, and only when an item needs it.
        fetch: the encoded bytes of a position; called from several threads. BadImageError makes an error row,
            MovedError a moved one, anything else ends the run of this generator.
        known: the checkpointed vector of these bytes (their SHA-256 in hex), or None; called from several threads.
        threads: how many threads fetch, decode and preprocess.
        max_pixels: of one image, judged before it is decoded. However many threads there are, the images in memory
            between decoding and preprocessing stay within a PixelBudget together.
        dimension: the width that every vector must have.
        progress: told the number of items of each finished batch.
        stop: asked before each batch.
        timings: gets seconds added under `fetch` and `decode` (summed over threads) and `infer` (wall time).

    Raises:
        StoppedError: `stop` said so.
        TerminalError: a vector of another width than `dimension`, or no memory for even a single image.
        TransientError: no memory to decode or preprocess an image.
    """
    work = _Work(model, fetch, known, max_pixels, _Clock(timings))
    embedder = _Embedder(dimension)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    pending: deque[Future[_Prepared]] = deque()
    submitted = done = 0
    try:
        while done < count:
            if stop():
                raise StoppedError(f"Stopped after {done:,} of the {count:,} images of this part.")
            batch: list[_Prepared] = []
            while len(batch) < min(work.batch_size, count - done):
                while submitted < count and submitted - done < LOOK_AHEAD * work.batch_size:
                    pending.append(pool.submit(work.prepare, submitted))
                    submitted += 1
                batch.append(pending.popleft().result())
            outcomes = embedder.finish(batch, work)
            done += len(batch)
            progress(len(batch))
            yield outcomes
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(slots=True)
class _Prepared:
    """An outcome still without a vector of its own: `image` is what the model has to see, if anything."""

    outcome: Outcome
    image: torch.Tensor | None = None


class _Clock:
    """Adds up seconds by name, from any thread."""

    def __init__(self, timings: dict[str, float]) -> None:
        self._timings = timings
        self._lock = threading.Lock()
        for name in ("fetch", "decode", "infer"):
            timings.setdefault(name, 0.0)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            with self._lock:
                self._timings[name] += seconds


class _Work:
    """What the threads do to one position, and the model they share, built on first need."""

    def __init__(
        self,
        build: Callable[[], Model],
        fetch: Callable[[int], bytes],
        known: Callable[[str], Vector | None],
        max_pixels: int,
        clock: _Clock,
    ) -> None:
        self.clock = clock
        self._build, self._fetch, self._known, self._max_pixels = build, fetch, known, max_pixels
        self._model: Model | None = None
        self._lock = threading.Lock()
        self._budget = PixelBudget()

    @property
    def batch_size(self) -> int:
        return BATCH_WITHOUT_MODEL if self._model is None else self._model.batch_size

    def model(self) -> Model:
        with self._lock:
            if self._model is None:
                self._model = self._build()
            return self._model

    def prepare(self, position: int) -> _Prepared:
        sha256: str | None = None
        try:
            with self.clock.measure("fetch"):
                data = self._fetch(position)
            sha256 = hashlib.sha256(data).hexdigest()
            vector = self._known(sha256)
            if vector is not None:
                return _Prepared(Outcome(position, sha256, vector, None, moved=False, reused=True))
            model = self.model()
            with self._budget.hold(pixels_needed(data, self._max_pixels)), self.clock.measure("decode"):
                image = model.preprocess(decode(data, self._max_pixels))
        except MovedError:
            return _Prepared(Outcome(position, None, None, None, moved=True, reused=False))
        except BadImageError as error:
            return _Prepared(Outcome(position, sha256, None, str(error), moved=False, reused=False))
        except MemoryError as error:
            raise TransientError(
                "Not enough memory to prepare an image; give the run more or fewer threads."
            ) from error
        return _Prepared(Outcome(position, sha256, None, None, moved=False, reused=False), image)


class _Embedder:
    """Runs the model over a batch; after an out-of-memory it goes on with smaller ones, for good."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._limit: int | None = None

    def finish(self, batch: list[_Prepared], work: _Work) -> list[Outcome]:
        images = [prepared.image for prepared in batch if prepared.image is not None]
        with work.clock.measure("infer"):
            vectors = iter(self._vectors(work.model(), images)) if images else iter(())
        return [p.outcome if p.image is None else _judged(p.outcome, next(vectors)) for p in batch]

    def _vectors(self, model: Model, images: list[torch.Tensor]) -> list[Vector]:
        vectors: list[Vector] = []
        while len(vectors) < len(images):
            size = min(self._limit or len(images), len(images) - len(vectors))
            chunk = self._embed(model, torch.stack(images[len(vectors) : len(vectors) + size]))
            if chunk is None:
                self._halve(model, size)
                continue
            if chunk.shape != (size, self._dimension):
                expected = (size, self._dimension)
                raise TerminalError(f"{model.card.name} gave vectors of shape {chunk.shape}; expected {expected}.")
            vectors.extend(chunk.astype(np.float32, copy=False))
        return vectors

    def _embed(self, model: Model, images: torch.Tensor) -> Vector | None:
        try:
            return model.embed(images)
        except (torch.OutOfMemoryError, MemoryError):
            return None
        except RuntimeError as error:
            # torch's CPU allocator has no exception type of its own.
            if "can't allocate memory" in str(error) or "not enough memory" in str(error):
                return None
            raise

    def _halve(self, model: Model, size: int) -> None:
        if size == 1:
            raise TerminalError(f"Not enough memory on {model.device} to embed a single image with {model.card.name}.")
        self._limit = size // 2
        if model.device.startswith("cuda"):
            torch.cuda.empty_cache()


def _judged(outcome: Outcome, vector: Vector) -> Outcome:
    if not np.isfinite(vector).all():
        error, values = "the model's vector has NaN or infinite values", None
    elif not vector.any():
        error, values = "the model's vector is all zeros", None
    else:
        error, values = None, vector
    return Outcome(outcome.position, outcome.sha256, values, error, moved=False, reused=False)
