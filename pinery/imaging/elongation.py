"""The one thing about an image's shape that no model can take: a side so long that resizing would fill the memory."""

from __future__ import annotations

from PIL import Image

from pinery.errors import BadImageError

MAX_RESIZED_PIXELS = 64_000_000


def refuse_elongated(image: Image.Image, short_side: int) -> None:
    """Checks that `image` fits into memory once its short side is resized to `short_side` pixels.

    Raises:
        BadImageError: it would have more than 64 million pixels.
    """
    short, long = sorted(image.size)
    if long > short and short_side**2 * long / short > MAX_RESIZED_PIXELS:
        raise BadImageError(f"{image.width} x {image.height} pixels are too elongated for this model")
