"""Turns batches of encoded images into vectors with one model: decodes them, stacks them, and runs the model."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pinery.embedding.batch_size import BatchSize
from pinery.embedding.clock import Clock
from pinery.embedding.columns import Batch, Vectors
from pinery.embedding.stack import Stack, Stacks
from pinery.errors import BadImageError, TerminalError
from pinery.imaging.budget import PixelBudget
from pinery.imaging.prepare import prepare_on_cpu, prepare_on_device
from pinery.models.protocol import Model

BATCH_WITHOUT_MODEL = 32
"""Items per batch with `auto`, until an item needs the model."""
FIRST_SIZE, LARGEST_SIZE = 0.5, 4
"""Where `auto` begins and ends its search for a batch size, as factors of the model's own batch size."""
DECODED_TOGETHER = 8
"""Images that a thread decodes in a row at most: to hand over one takes a tenth of the time to decode it."""
BATCH_BYTES = 512 << 20
"""Bytes of preprocessed images that `auto` has in memory at most, in all batches together."""
BATCHES_AT_ONCE, AT_ONCE_SECONDS = 4, 0.25
"""With `auto`, a thread of a CPU takes at most so many batches at once, and no more than it does in about so long. The
model leaves nothing else in the CPU's caches, so what is done for each batch takes many times as long as by itself.
"""


class Embedder:
    """One model, which is loaded once an image needs it, and the batch size that suits it. Threads may share it."""

    def __init__(
        self,
        build: Callable[[], Model],
        dimension: int,
        budget: PixelBudget,
        max_pixels: int,
        *,
        device: str,
        batch: int | Literal["auto"],
        expected: int,
        at_once: int,
        alone: bool,
        decode_threads: int,
        share: int = 1,
    ) -> None:
        """Load nothing yet.

        Args:
            build: builds the model; called once.
            dimension: the number of values that every vector must have.
            budget: bounds the pixels of images that are decoded at once.
            max_pixels: the most pixels that an image may have, checked before it is decoded.
            device: the device that the model will compute on.
            batch: images per batch; `auto` looks for the size that makes the model fastest.
            expected: the number of images that the model will see in all, as far as is known.
            at_once: the number of threads that call this embedder.
            alone: only one of them may use the model at a time.
            decode_threads: the number of threads that decode for them, where they don't decode themselves.
            share: the number of processes that share the device.
        """
        self._build, self._dimension, self._budget, self._max_pixels = build, dimension, budget, max_pixels
        self._expected, self._at_once, self._decode_threads, self._share = expected, at_once, decode_threads, share
        self._model: Model | None = None
        # With `auto` the model says which size to begin with; until it is loaded, no item in a batch needs it.
        self._batch = None if batch == "auto" else BatchSize(batch, batch, fixed=True)
        self._loading, self._learning = threading.Lock(), threading.Lock()
        self._turn = threading.Semaphore(1 if alone else at_once)
        # Who sets a size may have no memory for more.
        self._adapts = batch == "auto" and not alone
        self._stacks = Stacks(device)
        self._notes: deque[str] = deque()
        self.short_of_memory = False
        """True once a batch didn't fit into memory."""
        self.batches_at_once = 1
        """The batches that a thread is to take at once, to decode all of their images and then compute one by one."""

    @property
    def batch_size(self) -> int:
        """Items in the next batch."""
        return BATCH_WITHOUT_MODEL if self._batch is None else self._batch.size

    def notes(self) -> list[str]:
        """Return notes for the user, such as that a batch didn't fit into memory; each of them once."""
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def __call__(self, batch: Batch, clock: Clock, decoders: Executor | None) -> Batch:
        """Return `batch` with a vector or an error for each row that has data, and without the data.

        `decoders` decode the images; without them this thread does. Raises TerminalError where the vectors have another
        dimension, or there isn't enough memory for a single image, and TransientError where there isn't enough to
        decode or preprocess an image.
        """
        rows = [row for row, data in enumerate(batch.data) if data is not None]
        encoded = [data for data in batch.data if data is not None]
        batch.data = []
        if not rows:
            return batch
        model = self._loaded()
        began = time.perf_counter()
        with clock.measure("decode", self._at_once):
            there = prepare_on_device(encoded, model.card.decoder, model, self._max_pixels)
        stack = Stack(len(rows), self._stacks)
        left = [at for at, image in enumerate(there) if image is None]
        bad = self._decode(encoded, left, stack, model, clock, decoders)
        del encoded
        if len(bad) < len(rows):
            images = self._together(there, stack, set(bad), model)
            with self._turn, clock.measure("infer"):
                vectors = self._vectors(images, model)
            good = [row for at, row in enumerate(rows) if at not in bad]
            _put(batch, good, vectors)
            if self._adapts:
                self._adapt((time.perf_counter() - began) / len(rows), images[0].nbytes)
        stack.close()
        batch.errors |= {rows[at]: reason for at, reason in bad.items()}
        return batch

    def _decode(
        self,
        encoded: Sequence[bytes],
        left: Sequence[int],
        stack: Stack,
        model: Model,
        clock: Clock,
        decoders: Executor | None,
    ) -> dict[int, str]:
        """Decode those images that are `left` into the stack; return for each bad one why, by its place in it."""
        decoder = model.card.decoder

        def decode(places: Sequence[int]) -> dict[int, str]:
            bad = {}
            with clock.measure("decode"):
                for at in places:
                    try:
                        stack.put(at, prepare_on_cpu(encoded[at], decoder, model, self._max_pixels, self._budget))
                    except BadImageError as error:
                        bad[at] = str(error)
            return bad

        if decoders is None:
            return decode(left)
        together = max(1, min(DECODED_TOGETHER, len(left) // (2 * self._decode_threads)))
        each = [left[at : at + together] for at in range(0, len(left), together)]
        return {at: reason for bad in decoders.map(decode, each) for at, reason in bad.items()}

    def _loaded(self) -> Model:
        with self._loading:
            if self._model is None:
                model = self._build()
                model.expect(self._expected, self._decode_threads)
                if self._batch is None:
                    own = model.batch_size
                    largest = max(own, own * LARGEST_SIZE // self._share)
                    self._batch = BatchSize(max(1, int(own * FIRST_SIZE)), largest)
                if model.card.decoder == "cuda" and not model.device.startswith("cuda"):
                    self._notes.append(f"the decoder is cuda and the device {model.device}: the CPU decodes")
                self._model = model
            return self._model

    def _together(self, there: list[Tensor | None], stack: Stack, bad: set[int], model: Model) -> Tensor:
        """Return the images on the device, if there are any, and those in the stack: (images, ...), in order."""
        assert self._batch is not None
        if all(image is None for image in there):
            images = stack.images(without=bad)
        else:
            each = [stack.image(at) if one is None else one for at, one in enumerate(there) if at not in bad]
            there.clear()  # nothing but this list keeps the images on the device
            try:
                images = torch.stack([image.to(model.device) for image in each])
            except torch.OutOfMemoryError:
                each = [image.cpu() for image in each]
                images = torch.stack(each)
        if not self._batch.settled:
            with self._learning:
                self._batch.cap(BATCH_BYTES // self._at_once // images[0].nbytes)
        return images

    def _vectors(self, images: Tensor, model: Model) -> Vectors:
        batch = self._batch
        assert batch is not None
        found: list[Vectors] = []
        done = 0
        while done < len(images):
            # A batch that was gathered before memory ran out may be larger than what fits now.
            chunk = images[done : done + batch.size]
            began = time.perf_counter()
            vectors = _embed(model, chunk)
            if vectors is None:
                self._shrink(model, batch, len(chunk))
                continue
            with self._learning:
                batch.took(len(chunk), time.perf_counter() - began)
            if vectors.shape != (len(chunk), self._dimension):
                expected = (len(chunk), self._dimension)
                raise TerminalError(f"{model.card.name} gave vectors of shape {vectors.shape}; expected {expected}")
            found.append(vectors.astype(np.float32, copy=False))
            done += len(chunk)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _adapt(self, seconds: float, size: int) -> None:
        """Adapt the batches at once to how long an image took, and to how many bytes it has once it is decoded."""
        fast = int(AT_ONCE_SECONDS / (seconds * self.batch_size))
        fitting = BATCH_BYTES // (self._at_once * size * self.batch_size)
        self.batches_at_once = 1 if self.short_of_memory else max(1, min(BATCHES_AT_ONCE, fast, fitting))

    def _shrink(self, model: Model, batch: BatchSize, images: int) -> None:
        if images == 1:
            raise TerminalError(f"not enough memory on {model.device} to embed a single image with {model.card.name}")
        with self._learning:
            self.short_of_memory = True
            if batch.size >= images:  # otherwise another thread has already shrunk it
                size = batch.out_of_memory(images)
                self._notes.append(
                    f"{images} images at once don't fit into the memory of {model.device}; going on with {size}"
                )
        if model.device.startswith("cuda"):
            torch.cuda.empty_cache()


def _embed(model: Model, images: Tensor) -> Vectors | None:
    """Return the vectors of images, shape (images, dimension), or None where memory ran out."""
    try:
        return model.embed(images)
    except (torch.OutOfMemoryError, MemoryError):
        return None
    except RuntimeError as error:
        # torch's CPU allocator raises no exception of a type of its own.
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            return None
        raise


def _put(batch: Batch, rows: list[int], vectors: Vectors) -> None:
    """Take the vectors (rows, dimension) of these rows into the batch, or errors for those that no index takes."""
    finite, nonzero = np.isfinite(vectors).all(axis=1), vectors.any(axis=1)
    for at in np.flatnonzero(~finite):
        batch.errors[rows[at]] = "the model's vector has NaN or infinite values"
    for at in np.flatnonzero(finite & ~nonzero):
        batch.errors[rows[at]] = "the model's vector is all zeros"
    if len(rows) == batch.items:
        batch.vectors = vectors
    else:
        batch.vectors = np.empty((batch.items, vectors.shape[1]), np.float32)
        batch.vectors[rows] = vectors
