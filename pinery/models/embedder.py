"""Batches of fetched images to vectors, with one model: decoded, stacked, as many at once as suit the model."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from pinery.errors import TerminalError
from pinery.models.batching import BatchSize
from pinery.models.preparing import Clock, Decoder, Fetched, Outcome, Prepared, Vector
from pinery.models.protocol import Model

BATCH_WITHOUT_MODEL = 32
"""Items per batch of `auto` as long as no item needed the model."""
FIRST_SIZE, LARGEST_SIZE = 0.5, 4
"""Where `auto` begins and ends to look for a batch size, as factors of the model's own."""
DECODED_TOGETHER = 4
"""Items that a thread decodes in a row at most: handing one over takes a fiftieth of decoding it."""
BATCH_BYTES = 512 << 20
"""Of the preprocessed images that `auto` has in memory at most, in all batches together."""


class Embedder:
    """One model, loaded when an image needs it, and what was learnt of it; threads may share it.

    A processor computes for as many threads as call, anything else for one at a time.
    """

    def __init__(
        self,
        build: Callable[[], Model],
        dimension: int,
        decoder: Decoder,
        *,
        batch: int | Literal["auto"],
        expected: int,
        at_once: int,
        alone: bool,
        decode_threads: int,
    ) -> None:
        """Loads nothing yet.

        Args:
            build: builds the model; called once.
            dimension: the width that every vector must have.
            decoder: makes images of bytes.
            batch: images per batch, or `auto`: as many as make the model faster.
            expected: how many images the model will see in all, as far as is known; it is told so.
            at_once: how many threads call.
            alone: whether the model is for one of them at a time.
            decode_threads: how many threads decode for them, where they don't themselves.
        """
        self._build, self._dimension, self._decoder = build, dimension, decoder
        self._expected, self._at_once, self._decode_threads = expected, at_once, decode_threads
        self._model: Model | None = None
        # Until the model is there to say where `auto` begins, batches are of items that didn't need it.
        self._batch = None if batch == "auto" else BatchSize(batch, batch, fixed=True)
        self._loading, self._learning = threading.Lock(), threading.Lock()
        self._turn = threading.Semaphore(1 if alone else at_once)
        self._notes: deque[str] = deque()

    @property
    def batch_size(self) -> int:
        """Items in the next batch."""
        return BATCH_WITHOUT_MODEL if self._batch is None else self._batch.size

    def notes(self) -> list[str]:
        """What the person who watches should know, such as a batch that didn't fit into memory; told once."""
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def __call__(self, batch: list[Fetched], clock: Clock, decoders: Executor | None) -> list[Outcome]:
        """The outcomes of a batch, in order. `decoders` decode; without them this thread does.

        Raises:
            TerminalError: a vector of another width than `dimension`, or no memory for even a single image.
            TransientError: no memory to decode or preprocess an image.
        """
        if all(fetched.data is None for fetched in batch):
            return [fetched.outcome for fetched in batch]
        model = self._loaded()
        prepared = self._prepared(batch, model, clock, decoders)
        outcomes, seen = [one.outcome for one in prepared], [one.image is not None for one in prepared]
        # On a device images must be kept until the vectors are there, and nothing else keep them.
        images = [one.image for one in prepared if one.image is not None]
        del prepared
        if not images:
            return outcomes
        stacked = self._stacked(images, model)
        with self._turn, clock.measure("infer"):
            vectors = iter(self._vectors(stacked, model))
        return [
            _judged(outcome, next(vectors)) if there else outcome for outcome, there in zip(outcomes, seen, strict=True)
        ]

    def _prepared(self, batch: list[Fetched], model: Model, clock: Clock, decoders: Executor | None) -> list[Prepared]:
        def decode(some: list[Fetched]) -> list[Prepared]:
            return [self._decoder(fetched, model, clock) for fetched in some]

        with clock.measure("decode", self._at_once):
            images = self._decoder.on_device(batch, model)
        left = [fetched for fetched, image in zip(batch, images, strict=True) if image is None]
        together = max(1, min(DECODED_TOGETHER, len(left) // (2 * self._decode_threads)))
        each = [left[at : at + together] for at in range(0, len(left), together)]
        lists = map(decode, each) if decoders is None else decoders.map(decode, each)
        decoded = itertools.chain.from_iterable(lists)
        return [
            next(decoded) if image is None else Prepared(fetched.outcome, image)
            for fetched, image in zip(batch, images, strict=True)
        ]

    def _loaded(self) -> Model:
        with self._loading:
            if self._model is None:
                model = self._build()
                model.expect(self._expected)
                if self._batch is None:
                    own = model.batch_size
                    self._batch = BatchSize(max(1, int(own * FIRST_SIZE)), own * LARGEST_SIZE)
                if model.card.decoder == "cuda" and not model.device.startswith("cuda"):
                    self._notes.append(f"the decoder is cuda and the device {model.device}: the processor decodes")
                self._model = model
            return self._model

    def _stacked(self, images: list[torch.Tensor], model: Model) -> torch.Tensor:
        assert self._batch is not None
        if not self._batch.settled:
            with self._learning:
                self._batch.cap(BATCH_BYTES // self._at_once // images[0].nbytes)
        if any(image.device.type != "cpu" for image in images):
            try:
                return torch.stack([image.to(model.device) for image in images])
            except torch.OutOfMemoryError:
                images[:] = [image.cpu() for image in images]
        return torch.stack(images, out=_room_for(images, model.device))

    def _vectors(self, images: torch.Tensor, model: Model) -> list[Vector]:
        batch = self._batch
        assert batch is not None
        vectors: list[Vector] = []
        while len(vectors) < len(images):
            # A batch gathered before the last want of memory may be larger than what fits.
            chunk = images[len(vectors) : len(vectors) + batch.size]
            began = time.perf_counter()
            found = _embed(model, chunk)
            if found is None:
                self._shrink(model, batch, len(chunk))
                continue
            with self._learning:
                batch.took(len(chunk), time.perf_counter() - began)
            if found.shape != (len(chunk), self._dimension):
                expected = (len(chunk), self._dimension)
                raise TerminalError(f"{model.card.name} gave vectors of shape {found.shape}; expected {expected}.")
            vectors.extend(found.astype(np.float32, copy=False))
        return vectors

    def _shrink(self, model: Model, batch: BatchSize, images: int) -> None:
        if images == 1:
            raise TerminalError(f"Not enough memory on {model.device} to embed a single image with {model.card.name}.")
        with self._learning:
            if batch.size >= images:  # else another thread has seen to it
                size = batch.out_of_memory(images)
                self._notes.append(
                    f"{images} images at once don't fit into the memory of {model.device}; going on with {size}"
                )
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
        return replace(outcome, error="the model's vector has NaN or infinite values")
    if not vector.any():
        return replace(outcome, error="the model's vector is all zeros")
    return replace(outcome, values=vector)
