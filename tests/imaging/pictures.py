"""Pictures with detail at every size, as photographs have it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture whose contrast falls with the size of its details, the same for the same seed."""
    rng = np.random.default_rng(seed)
    values = np.zeros((height, width, 3), np.float32)
    cells = 4
    while cells <= max(width, height):
        shape = (max(1, height * cells // max(width, height)), max(1, width * cells // max(width, height)))
        for channel in range(3):
            small = Image.fromarray(rng.normal(0, 1, shape).astype(np.float32))
            values[..., channel] += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) / cells**0.8
        cells *= 2
    values = (values - values.mean()) / values.std() * 50 + 120
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    """The picture as JPEG; options are Pillow's."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()
