"""Makes encoded bytes into what a model takes, by the decoder that its card names: one way for corpus and query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from PIL import Image

from pinery.errors import TransientError
from pinery.imaging.budget import PixelBudget
from pinery.imaging.decode import decode, pixels_needed, scaled_size
from pinery.imaging.quick import CentreCrop, decode_quickly
from pinery.imaging.scaling import least_side


class Preprocessing(Protocol):
    """The part of a model that makes pixels into what its network takes; see `Model`."""

    @property
    def resize_side(self) -> int:
        """See Model."""

    @property
    def centre_crop(self) -> CentreCrop | None:
        """See Model."""

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """See Model."""

    def prepare_on_device(self, encoded: Sequence[bytes], max_pixels: int) -> list[torch.Tensor | None]:
        """See Model."""


def prepare_on_cpu(
    data: bytes, decoder: str, model: Preprocessing, max_pixels: int, budget: PixelBudget | None = None
) -> torch.Tensor:
    """Return one encoded image as the model takes it, decoded by the CPU.

    `decoder` is `exact`, `scaled` or `fast`; with `cuda` it is an image that the device leaves to the CPU. `budget`
    bounds the pixels that threads have in memory at once.

    Raises BadImageError where the image is bad or has more than `max_pixels` pixels, and TransientError where memory
    runs out.
    """
    side = least_side(decoder, model.resize_side)
    try:
        pixels = decode_quickly(data, model.centre_crop, side, max_pixels)
        if pixels is not None:
            return pixels
        if budget is None:
            return model.preprocess(decode(data, max_pixels, side))
        with budget.hold(pixels_needed(data, max_pixels, side)):
            return model.preprocess(decode(data, max_pixels, side))
    except MemoryError as error:
        raise no_memory() from error


def prepare_if_faster(data: bytes, decoder: str, model: Preprocessing, max_pixels: int) -> torch.Tensor | None:
    """Return one encoded image as the CPU prepares it by a decoder; None where `exact` decodes it in the same way.

    Raises BadImageError.
    """
    side = least_side(decoder, model.resize_side)
    pixels = decode_quickly(data, model.centre_crop, side, max_pixels)
    if pixels is None and scaled_size(data, side):
        return model.preprocess(decode(data, max_pixels, side))
    return pixels


def prepare_on_device(
    encoded: Sequence[bytes], decoder: str, model: Preprocessing, max_pixels: int
) -> list[torch.Tensor | None]:
    """Return the images that the model's device decodes where the decoder is `cuda`; None for all others.

    Raises TransientError where memory runs out.
    """
    if decoder != "cuda":
        return [None] * len(encoded)
    try:
        return model.prepare_on_device(encoded, max_pixels)
    except MemoryError as error:
        raise no_memory() from error


def prepare(
    data: bytes, decoder: str, model: Preprocessing, max_pixels: int, budget: PixelBudget | None = None
) -> torch.Tensor:
    """Return one encoded image as the model takes it; see `prepare_on_cpu`."""
    [image] = prepare_on_device([data], decoder, model, max_pixels)
    return prepare_on_cpu(data, decoder, model, max_pixels, budget) if image is None else image


def no_memory() -> TransientError:
    """Return the error for memory that ran out while an image was read or decoded."""
    return TransientError("not enough memory to prepare an image; give the run more memory or fewer threads")
