"""What happens to one item before the model sees it: fetched, hashed, looked up; then decoded and preprocessed."""

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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item. Exactly one of `values`, `error` and `moved` is set."""

    position: int
    """Index into the work list."""
    sha256: str | None = None
    """Of the image's bytes; None where no bytes were had."""
    values: Vector | None = None
    """Shape (dimension,), float32."""
    error: str | None = None
    """The quarantine reason."""
    moved: bool = False
    reused: bool = False
    """Whether `values` is an already checkpointed vector of the same bytes."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An outcome, and where it is still without a vector, the bytes that the model has to see."""

    outcome: Outcome
    data: bytes | None = None

    @property
    def size(self) -> int:
        """Of the data, in bytes."""
        return len(self.data or b"")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An outcome, and where it is still without a vector, the image as the model takes it."""

    outcome: Outcome
    image: torch.Tensor | None = None


class Clock:
    """Adds up seconds by name, from any thread, as the mean over the threads that do the same."""

    def __init__(self, timings: dict[str, float], threads: Mapping[str, int]) -> None:
        """`threads` are the names, and how many threads are at each of them."""
        self._timings, self._threads = timings, threads
        self._lock = threading.Lock()
        for name in threads:
            timings.setdefault(name, 0.0)

    @contextmanager
    def measure(self, name: str, threads: int | None = None) -> Iterator[None]:
        """Add the seconds spent inside the `with`, where other than the usual `threads` are at it."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = (time.perf_counter() - start) / (threads or self._threads[name])
            with self._lock:
                self._timings[name] += seconds


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches the positions of one work list; may be called from many threads."""

    fetch: Callable[[int], bytes]
    known: Callable[[str], Vector | None]
    clock: Clock

    def __call__(self, position: int) -> Fetched:
        """The bytes at `position`, or its outcome where there are none or their vector is known.

        Raises TransientError for want of memory, and whatever `fetch` and `known` raise that is no verdict on the item.
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
    """Decodes and preprocesses for a model, within what memory the process has for it; many threads may share it."""

    budget: PixelBudget
    max_pixels: int
    """Of one image, judged before it is decoded."""

    def __call__(self, fetched: Fetched, model: Model, clock: Clock) -> Prepared:
        """What the model has to see of `fetched`, if anything. Raises TransientError for want of memory."""
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
        """What the model's device makes of a batch's images where its decoder is `cuda`; None of all others.

        Raises TransientError for want of memory.
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
    return TransientError("Not enough memory to prepare an image; give the run more or fewer threads.")
