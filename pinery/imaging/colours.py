"""Converts pixels of any kind to 8 bits of red, green and blue, on white."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pinery.errors import BadImageError
from pinery.imaging.tiff import bits_of, is_signed_bytes, values_of, white_is_zero

DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded image in mode RGB, 8 bits per channel.

    Transparency lies on white, 16-bit grey is scaled, and other deep grey is stretched from its minimum to its maximum.
    Raises BadImageError where a value is not a finite number.
    """
    return _grey(image) if image.mode in DEEP_MODES or is_signed_bytes(image) else _rgb(image)


def _rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        # An image of a file is copied, because the file will be closed; any other needs no copy.
        return image if image.mode == "RGB" and type(image) is Image.Image else image.convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    # This needs one full copy beside the loaded image, and gives the pixels of `alpha_composite` on opaque white.
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    white = Image.new("RGB", layer.size, (255, 255, 255))
    white.paste(layer, mask=layer)
    return white


def _grey(image: Image.Image) -> Image.Image:
    values = values_of(image)
    if image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I"):
        table = np.rint(np.arange(65536) * (255 / _white(image))).clip(0, 255).astype(np.uint8)
        table = 255 - table if white_is_zero(image) else table
        clear = image.info.get("transparency")
        if isinstance(clear, int):
            table[clear] = 255
        grey = table[values]
    else:
        grey = _stretched(values)
        grey = 255 - grey if white_is_zero(image) else grey
    return Image.fromarray(grey).convert("RGB")


def _white(image: Image.Image) -> int:
    return int(2 ** min(max(bits_of(image) or 16, 9), 16) - 1)


def _stretched(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise BadImageError("has pixel values that are not finite numbers")
    low, high = float(values.min()), float(values.max())
    if high == low:
        return np.full(values.shape, 127, np.uint8)
    scaled = values - low
    scaled *= 255 / (high - low)
    np.rint(scaled, out=scaled)
    return scaled.clip(0, 255, out=scaled).astype(np.uint8)
