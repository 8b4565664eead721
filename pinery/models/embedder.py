"""Turns batches of fetched images into vectors with one model: decodes them, stacks them, and runs the model."""

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
"""Items per batch with `auto`, until an item needs the model."""
FIRST_SIZE, LARGEST_SIZE = 0.5, 4
"""Where `auto` begins and ends its search for a batch size, as factors of the model's own batch size."""
DECODED_TOGETHER = 4
"""How many items a thread decodes in a row at most: to hand one over takes a fiftieth of the time to decode it."""
BATCH_BYTES = 512 << 20
"""How many bytes of preprocessed images `auto` has in memory at most, in all batches together."""


class Embedder:
    """One model, which is loaded once an image needs it, and the batch size that suits it. Threads may share it."""

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
        """Load nothing yet.

        Args:
            build: builds the model; called once.
            dimension: how many values every vector must have.
            decoder: decodes and preprocesses images.
            batch: images per batch; `auto` looks for the size that makes the model fastest.
            expected: how many images the model will see in all, as far as is known.
            at_once: how many threads call this embedder.
            alone: whether only one of them may use the model at a time.
            decode_threads: how many threads decode for them, where they don't decode themselves.
        """
        self._build, self._dimension, self._decoder = build, dimension, decoder
        self._expected, self._at_once, self._decode_threads = expected, at_once, decode_threads
        self._model: Model | None = None
        # With `auto` the model says which size to begin with; until it is loaded, no item in a batch needs it.
        self._batch = None if batch == "auto" else BatchSize(batch, batch, fixed=True)
        self._loading, self._learning = threading.Lock(), threading.Lock()
        self._turn = threading.Semaphore(1 if alone else at_once)
        self._notes: deque[str] = deque()

    @property
    def batch_size(self) -> int:
        """Items in the next batch."""
        return BATCH_WITHOUT_MODEL if self._batch is None else self._batch.size

    def notes(self) -> list[str]:
        """Notes for the user, such as that a batch didn't fit into memory; each is returned once."""
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def __call__(self, batch: list[Fetched], clock: Clock, decoders: Executor | None) -> list[Outcome]:
        """The outcomes of a batch, in order. `decoders` decode the images; without them this thread does.

        Raises TerminalError where the vectors have another dimension, or there isn't enough memory for a single image;
        and TransientError where there isn't enough memory to decode or preprocess an image.
        """
        if all(fetched.data is None for fetched in batch):
            return [fetched.outcome for fetched in batch]
        model = self._loaded()
        prepared = self._prepared(batch, model, clock, decoders)
        outcomes, seen = [one.outcome for one in prepared], [one.image is not None for one in prepared]
        # Images on a device must be kept until their vectors are there, but by nothing else than this list.
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
                    self._notes.append(f"the decoder is cuda and the device {model.device}: the CPU decodes")
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
            # A batch that was gathered before memory ran out may be larger than what fits now.
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
                raise TerminalError(f"{model.card.name} gave vectors of shape {found.shape}; expected {expected}")
            vectors.extend(found.astype(np.float32, copy=False))
        return vectors

    def _shrink(self, model: Model, batch: BatchSize, images: int) -> None:
        if images == 1:
            raise TerminalError(f"not enough memory on {model.device} to embed a single image with {model.card.name}")
        with self._learning:
            if batch.size >= images:  # otherwise another thread has already shrunk it
                size = batch.out_of_memory(images)
                self._notes.append(
                    f"{images} images at once don't fit into the memory of {model.device}; going on with {size}"
                )
        if model.device.startswith("cuda"):
            torch.cuda.empty_cache()


def _room_for(images: list[torch.Tensor], device: str) -> torch.Tensor:
    """Memory for a stack of images, each (channels, height, width) or of another shape: (images, ...)."""
    first = images[0]
    # Images are decoded with their channels last, which is what networks want too, so they stay like that.
    last = first.ndim == 3 and first.stride(0) == 1
    layout = torch.channels_last if last else torch.contiguous_format
    # From page-locked memory a GPU copies by itself, while the CPU goes on.
    pinned, shape = device.startswith("cuda"), (len(images), *first.shape)
    return torch.empty(shape, dtype=first.dtype, memory_format=layout, pin_memory=pinned)


def _embed(model: Model, images: torch.Tensor) -> Vector | None:
    """The vectors of images, shape (images, dimension), or None where memory ran out."""
    try:
        return model.embed(images)
    except (torch.OutOfMemoryError, MemoryError):
        return None
    except RuntimeError as error:
        # torch's CPU allocator raises no exception of a type of its own.
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            return None
        raise


def _judged(outcome: Outcome, vector: Vector) -> Outcome:
    if not np.isfinite(vector).all():
        return replace(outcome, error="the model's vector has NaN or infinite values")
    if not vector.any():
        return replace(outcome, error="the model's vector is all zeros")
    return replace(outcome, values=vector)
