"""Prepares an item for the model: it is fetched, hashed, looked up, decoded and preprocessed."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from pinery.errors import BadImageError, MovedError, TransientError
from pinery.imaging.budget import PixelBudget
from pinery.imaging.decode import decode, pixels_needed
from pinery.imaging.quick import decode_quickly
from pinery.imaging.scaling import least_side
from pinery.models.protocol import Model

Vector = npt.NDArray[np.float32]
"""One vector has the shape (dimension,)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for one item. In the end exactly one of `values`, `error` and `moved` is set."""

    position: int
    """The item's index in the work list."""
    sha256: str | None = None
    """The hash of the image's bytes in hex; None where no bytes were read."""
    values: Vector | None = None
    """The vector: shape (dimension,), float32."""
    error: str | None = None
    """The reason why the item is quarantined."""
    moved: bool = False
    """Whether the item vanished or changed since it was listed."""
    reused: bool = False
    """Whether `values` comes from the checkpoint, because the same bytes had been embedded before."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An item's outcome so far, and the image's bytes where the model has to see them."""

    outcome: Outcome
    data: bytes | None = None

    @property
    def size(self) -> int:
        """The length of the data in bytes."""
        return len(self.data or b"")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item's outcome so far, and the preprocessed image where the model has to see it."""

    outcome: Outcome
    image: torch.Tensor | None = None


class Clock:
    """Adds up the seconds that threads spend on each kind of work, as the mean over the threads that do it."""

    def __init__(self, timings: dict[str, float], threads: Mapping[str, int]) -> None:
        """Add to `timings`; `threads` says for each kind of work how many threads usually do it."""
        self._timings, self._threads = timings, threads
        self._lock = threading.Lock()
        for name in threads:
            timings.setdefault(name, 0.0)

    @contextmanager
    def measure(self, name: str, threads: int | None = None) -> Iterator[None]:
        """Add the seconds spent inside the `with`; `threads` do this work, or by default the usual number."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = (time.perf_counter() - start) / (threads or self._threads[name])
            with self._lock:
                self._timings[name] += seconds


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches the items of one work list by their positions. Threads may share it."""

    fetch: Callable[[int], bytes]
    known: Callable[[str], Vector | None]
    clock: Clock

    def __call__(self, position: int) -> Fetched:
        """The bytes of the item at `position`, or its outcome where it has none or its vector is known.

        Raises TransientError where memory runs out, and whatever `fetch` and `known` raise that is not about the item.
        """
        try:
            with self.clock.measure("fetch"):
                data = self.fetch(position)
            sha256 = hashlib.sha256(data).hexdigest()
            vector = self.known(sha256)
        except MovedError:
            return Fetched(Outcome(position, moved=True))
        except BadImageError as error:
            return Fetched(Outcome(position, error=str(error)))
        except MemoryError as error:
            raise _no_memory() from error
        if vector is not None:
            return Fetched(Outcome(position, sha256, vector, reused=True))
        return Fetched(Outcome(position, sha256), data)


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes and preprocesses images for a model, within a budget of memory. Threads may share it."""

    budget: PixelBudget
    max_pixels: int
    """The most pixels that an image may have, checked before it is decoded."""

    def __call__(self, fetched: Fetched, model: Model, clock: Clock) -> Prepared:
        """The preprocessed image where the model has to see it. Raises TransientError where memory runs out."""
        if fetched.data is None:
            return Prepared(fetched.outcome)
        try:
            with clock.measure("decode"):
                return Prepared(fetched.outcome, self._pixels(fetched.data, model))
        except BadImageError as error:
            return Prepared(replace(fetched.outcome, error=str(error)))
        except MemoryError as error:
            raise _no_memory() from error

    def on_device(self, batch: Sequence[Fetched], model: Model) -> list[torch.Tensor | None]:
        """The preprocessed images that the model's device makes where the decoder is `cuda`; None for all others.

        Raises TransientError where memory runs out.
        """
        if model.card.decoder != "cuda":
            return [None] * len(batch)
        try:
            return model.prepare_on_device([fetched.data or b"" for fetched in batch], self.max_pixels)
        except MemoryError as error:
            raise _no_memory() from error

    def _pixels(self, data: bytes, model: Model) -> torch.Tensor:
        side = least_side(model.card.decoder, model.resize_side)
        pixels = decode_quickly(data, model.centre_crop, side, self.max_pixels)
        if pixels is not None:
            return pixels
        with self.budget.hold(pixels_needed(data, self.max_pixels, side)):
            return model.preprocess(decode(data, self.max_pixels, side))


def _no_memory() -> TransientError:
    return TransientError("not enough memory to prepare an image; give the run more memory or fewer threads")
