"""What `auto` means for a corpus: the precision and the decoder that its vectors can't tell from the exact ones."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from pinery.config import ModelSettings
from pinery.errors import BadImageError
from pinery.imaging.decode import decode, scaled_size
from pinery.imaging.scaling import least_side
from pinery.models.network import TorchModel
from pinery.models.precision import settle_precision
from pinery.models.preparing import Vector, prepared_quickly
from pinery.models.protocol import Model

LEAST_COSINE = 0.9999
"""Of a vector through a faster decoder to the same image's through the exact one, for `auto` to take that decoder."""


def settle(model: Model, settings: ModelSettings, samples: Callable[[], Sequence[bytes]], max_pixels: int) -> Model:
    """`model`, or a copy, with what the settings leave to `auto` decided on encoded images of the corpus.

    `samples` gives these images, and is asked only if they are needed. The card has what was decided and the figures
    that it was decided by; without images nothing changes.
    """
    images = functools.cache(samples)
    if settings.precision == "auto" and isinstance(model, TorchModel):
        model = settle_precision(model, _pictures(images(), max_pixels))
    if settings.decode == "auto" and images():
        decoder, cosine = choose_decoder(model, images(), max_pixels)
        if decoder != "exact" or cosine < 1:
            figures = {**model.card.probe, "decode_cosine": round(cosine, 6)}
            cast(Any, model).card = replace(model.card, decoder=decoder, probe=figures)
    return model


def _pictures(samples: Sequence[bytes], max_pixels: int) -> Iterator[Image.Image]:
    for data in samples:
        with contextlib.suppress(BadImageError):
            yield decode(data, max_pixels)


def choose_decoder(model: Model, samples: Sequence[bytes], max_pixels: int) -> tuple[str, float]:
    """What `decode: auto` is for this model and images like these, and the worst cosine to `exact` that was measured.

    `exact` with a cosine of 1 where no sample is decoded otherwise by a faster decoder; samples that are no images, or
    give vectors without a direction, are passed over.

    Args:
        model: its vectors decide, whatever its card says of the decoder.
        samples: encoded images, as the source has them.
        max_pixels: larger ones are passed over.
    """
    side = least_side("scaled", model.resize_side)
    cosines = [cosine for data in samples if (cosine := _cosine(model, data, max_pixels, side)) is not None]
    worst = min(cosines, default=1.0)
    return ("scaled" if cosines and worst >= LEAST_COSINE else "exact"), worst


def _cosine(model: Model, data: bytes, max_pixels: int, side: int | None) -> float | None:
    """None where the faster decoder does nothing else with this image, or there is nothing to compare."""
    try:
        other = prepared_quickly(model, data, max_pixels, side)
        if other is None and scaled_size(data, side):
            other = model.preprocess(decode(data, max_pixels, side))
        if other is None:
            return None
        exact, scaled = (_embedded(model, image) for image in (model.preprocess(decode(data, max_pixels)), other))
    except BadImageError:
        return None
    lengths = float(np.linalg.norm(exact) * np.linalg.norm(scaled))
    return float(exact @ scaled) / lengths if np.isfinite(lengths) and lengths > 0 else None


def _embedded(model: Model, image: torch.Tensor) -> Vector:
    # One at a time, and in float64: a batch's own rounding must not be taken for the decoder's.
    vector: Vector = model.embed(image.unsqueeze(0))[0].astype(np.float64)
    return vector
