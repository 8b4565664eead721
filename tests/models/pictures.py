"""Pictures that no model is indifferent to, and vectors of length 1."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def pictures(count: int, seed: int = 1) -> list[Image.Image]:
    """Smooth pictures of 50 × 40 pixels, all different."""
    values = np.random.default_rng(seed).integers(0, 256, (count, 4, 5, 3), np.uint8)
    return [Image.fromarray(image).resize((50, 40), Image.Resampling.BICUBIC) for image in values]


def units(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Each vector of an array (vectors, dimension), scaled to length 1."""
    scaled: npt.NDArray[Any] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled
