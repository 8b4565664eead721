"""What torchvision's classification transforms make of a picture: the same pixels, at less cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import center_crop, resize

from pinery.imaging.elongation import refuse_elongated
from pinery.models.quick import decode_quickly


class Pixels:
    """What `transforms`, a weights entry's, do to an RGB image, to (3, height, width), float32, bit for bit.

    A call raises BadImageError for an image that is too elongated.
    """

    def __init__(self, transforms: Any) -> None:
        self._transforms = transforms
        self._size, self._crop = transforms.resize_size[0], transforms.crop_size[0]
        # In full: with one constant per channel, torch takes three times as long when channels lie last.
        full = (self._crop, self._crop, 3)
        self._mean = torch.tensor(transforms.mean).expand(full).contiguous()
        self._std = torch.tensor(transforms.std).expand(full).contiguous()

    def __call__(self, image: Image.Image) -> Tensor:
        """The pixels of a decoded image."""
        refuse_elongated(image, self._size)
        how = self._transforms
        image = resize(image, [self._size], interpolation=how.interpolation, antialias=how.antialias)
        return self._normalised(torch.from_numpy(np.array(center_crop(image, [self._crop]))))

    def quickly(self, data: bytes, least_side: int) -> Tensor | None:
        """Nearly the same pixels straight from an encoded image; None where that takes the long way."""
        mode = self._transforms.interpolation.value
        pixels = decode_quickly(data, least_side, self._size, self._crop, mode)
        return None if pixels is None else self._normalised(pixels)

    def _normalised(self, pixels: Tensor) -> Tensor:
        return pixels.float().div_(255).sub_(self._mean).div_(self._std).permute(2, 0, 1)
