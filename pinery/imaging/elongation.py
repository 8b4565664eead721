"""Refuses the only shape of image that no model can take: one so elongated that it fills the memory once resized."""

from __future__ import annotations

from PIL import Image

from pinery.errors import BadImageError

MAX_RESIZED_PIXELS = 64_000_000


def refuse_elongated(image: Image.Image, short_side: int) -> None:
    """Check that `image` fits into memory once its short side is resized to `short_side` pixels.

    Raises BadImageError where it would then have more than 64 million pixels.
    """
    short, long = sorted(image.size)
    if long > short and short_side**2 * long / short > MAX_RESIZED_PIXELS:
        raise BadImageError(f"{image.width} x {image.height} pixels are too elongated for this model")
