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
    """What `transforms`, a weights entry's, do to an RGB image: first to its pixels, and in batches to their values."""

    def __init__(self, transforms: Any) -> None:
        self._transforms = transforms
        self._size, self._crop = transforms.resize_size[0], transforms.crop_size[0]
        self._constants = torch.stack(
            [torch.full((3,), 255.0), torch.tensor(transforms.mean), torch.tensor(transforms.std)]
        )

    def __call__(self, image: Image.Image) -> Tensor:
        """The pixels of a decoded image, resized and cropped: (3, height, width), uint8.

        Raises BadImageError for an image that is too elongated.
        """
        refuse_elongated(image, self._size)
        return torch.from_numpy(np.array(self.resized(image))).permute(2, 0, 1)

    def resized(self, images: Any) -> Any:
        """A picture, or images (n, 3, height, width), uint8, on any device: resized and cropped."""
        how = self._transforms
        images = resize(images, [self._size], interpolation=how.interpolation, antialias=how.antialias)
        return center_crop(images, [self._crop])

    def quickly(self, data: bytes, least_side: int) -> Tensor | None:
        """Nearly the same pixels straight from an encoded image; None where that takes the long way."""
        mode = self._transforms.interpolation.value
        pixels = decode_quickly(data, least_side, self._size, self._crop, mode)
        return None if pixels is None else pixels.permute(2, 0, 1)

    def normalised(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """What the transforms' values of these pixels, (images, 3, height, width), uint8, are, bit for bit, in `dtype`.

        On the device of the pixels, in the memory format that networks want.
        """
        if images.device.type != "cpu":
            full, mean, std = self._constants.to(images.device)[:, :, None, None]
            return images.float().div_(full).sub_(mean).div_(std).to(dtype, memory_format=torch.channels_last)
        count, channels, height, width = images.shape
        found = torch.empty(images.shape, dtype=dtype, memory_format=torch.channels_last)
        # Image by image and row by row, so that what is computed stays in the processor's caches.
        _, mean, std = self._constants.repeat(1, width)
        rows = (height, width * channels)
        values = torch.empty(rows)
        for at in range(count):
            pixels = images[at].permute(1, 2, 0).reshape(rows)
            values.copy_(pixels).div_(255).sub_(mean).div_(std)
            found[at].permute(1, 2, 0).view(rows).copy_(values)
        return found
