"""Makes the same pixels of an image as torchvision's transforms for classification, at less cost."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import center_crop, resize

from pinery.imaging.elongation import refuse_elongated
from pinery.imaging.quick import CentreCrop


class Pixels:
    """Does what the `transforms` of torchvision's weights do to an RGB image: first to pixels, and then to values."""

    def __init__(self, transforms: Any) -> None:
        self._transforms = transforms
        self.centre_crop = CentreCrop(
            transforms.resize_size[0], transforms.crop_size[0], transforms.interpolation.value
        )
        self._constants = torch.stack(
            [torch.full((3,), 255.0), torch.tensor(transforms.mean), torch.tensor(transforms.std)]
        )

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the pixels of an image, resized and cropped: shape (3, height, width), uint8.

        Raises BadImageError where the image is too elongated.
        """
        refuse_elongated(image, self.centre_crop.size)
        return torch.from_numpy(np.array(self.resized(image))).permute(2, 0, 1)

    def resized(self, images: Any) -> Any:
        """Return a PIL image, or images (n, 3, height, width), uint8, on any device, resized and cropped."""
        how = self._transforms
        images = resize(images, [self.centre_crop.size], interpolation=how.interpolation, antialias=how.antialias)
        return center_crop(images, [self.centre_crop.crop])

    def normalised(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """Return, in `dtype`, the exact values that the transforms give for pixels (images, 3, height, width), uint8.

        They have the same shape, are on the device of the pixels, and have their channels last in memory.
        """
        if images.device.type != "cpu":
            full, mean, std = self._constants.to(images.device)[:, :, None, None]
            return images.float().div_(full).sub_(mean).div_(std).to(dtype, memory_format=torch.channels_last)
        count, channels, height, width = images.shape
        found = torch.empty(images.shape, dtype=dtype, memory_format=torch.channels_last)
        # One image at a time and by rows, so that the values stay in the CPU's caches.
        _, mean, std = self._constants.repeat(1, width)
        rows = (height, width * channels)
        values = torch.empty(rows)
        for at in range(count):
            pixels = images[at].permute(1, 2, 0).reshape(rows)
            values.copy_(pixels).div_(255).sub_(mean).div_(std)
            found[at].permute(1, 2, 0).view(rows).copy_(values)
        return found
