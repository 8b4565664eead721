"""What happens to one item before the model sees it: fetched, hashed, looked up, decoded, preprocessed."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pinery.errors import BadImageError, MovedError, TransientError
from pinery.imaging.budget import UNCOUNTED_PIXELS, PixelBudget
from pinery.imaging.decode import decode, pixels_needed
from pinery.imaging.scaling import least_side
from pinery.models.protocol import Model

Vector = npt.NDArray[np.float32]


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


@dataclass(frozen=True, slots=True)
class Prepared:
    """An outcome still without a vector of its own: `image` is what the model has to see, if anything."""

    outcome: Outcome
    image: torch.Tensor | None = None


def prepared_quickly(model: Model, data: bytes, max_pixels: int, side: int | None) -> torch.Tensor | None:
    """What the model's shorter way makes of an encoded image; None where it takes the long one, as `exact` ones do.

    `side` is what `least_side` says of the decoder.
    """
    return None if side is None or max_pixels < UNCOUNTED_PIXELS else model.prepare_quickly(data, side)


class Clock:
    """Adds up seconds by name, from any thread."""

    def __init__(self, timings: dict[str, float]) -> None:
        self._timings = timings
        self._lock = threading.Lock()
        for name in ("fetch", "decode", "infer"):
            timings.setdefault(name, 0.0)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside the `with`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            with self._lock:
                self._timings[name] += seconds


@dataclass(frozen=True, slots=True)
class Room:
    """What the threads of one process share, whichever part they work on."""

    turns: threading.Semaphore
    """One for each image that may be decoded at once."""
    pixels: PixelBudget
    max_pixels: int
    """Of one image, judged before it is decoded."""


@dataclass(frozen=True, slots=True)
class Preparer:
    """What is done to every position of one work list; `prepare` may be called from many threads."""

    fetch: Callable[[int], bytes]
    known: Callable[[str], Vector | None]
    model: Callable[[], Model]
    """Asked for only when an item needs it."""
    room: Room
    clock: Clock

    def prepare(self, position: int) -> Prepared:
        """The item at `position`, ready for the model, or its outcome where it needs none.

        Raises TransientError for want of memory, and whatever `fetch`, `known` and `model` raise that is no verdict on
        the item.
        """
        sha256: str | None = None
        try:
            with self.clock.measure("fetch"):
                data = self.fetch(position)
            sha256 = hashlib.sha256(data).hexdigest()
            vector = self.known(sha256)
            if vector is not None:
                return Prepared(Outcome(position, sha256, vector, None, moved=False, reused=True))
            image = self._pixels(data)
        except MovedError:
            return Prepared(Outcome(position, None, None, None, moved=True, reused=False))
        except BadImageError as error:
            return Prepared(Outcome(position, sha256, None, str(error), moved=False, reused=False))
        except MemoryError as error:
            raise TransientError(
                "Not enough memory to prepare an image; give the run more or fewer threads."
            ) from error
        return Prepared(Outcome(position, sha256, None, None, moved=False, reused=False), image)

    def _pixels(self, data: bytes) -> torch.Tensor:
        model, room = self.model(), self.room
        side = least_side(model.card.decoder, model.resize_side)
        # Waiting for a turn counts as decoding: it is what kept this thread from fetching.
        with self.clock.measure("decode"), room.turns:
            if (image := prepared_quickly(model, data, room.max_pixels, side)) is not None:
                return image
            with room.pixels.hold(pixels_needed(data, room.max_pixels, side)):
                return model.preprocess(decode(data, room.max_pixels, side))
