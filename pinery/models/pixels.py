"""Makes the same pixels and values of an image as torchvision's transforms for classification, at less cost."""

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
        self.normalised = Values(255, transforms.mean, transforms.std)
        """Gives the exact values that the transforms give."""

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


class Values:
    """Makes pixels into the values that a network takes: divided by `full`, less the mean, divided by the deviation."""

    def __init__(self, full: float, mean: Any, std: Any) -> None:
        """`mean` and `std` have a value for each of the three channels."""
        self._full = full
        mean, std = (torch.as_tensor(one).float() for one in (mean, std))
        self._constants = torch.stack([torch.full((3,), float(full)), mean, std])

    def __call__(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """Return, in `dtype`, the values of pixels (images, 3, height, width), uint8, as computed in float32.

        They have the same shape, are on the device of the pixels, and have their channels last in memory.
        """
        if images.device.type != "cpu":
            # By a plain number a GPU doesn't divide, but multiplies with its reciprocal, which rounds otherwise.
            full, mean, std = self._constants.to(images.device)[:, :, None, None]
            return self._values(images.float(), full, mean, std).to(dtype, memory_format=torch.channels_last)
        count, channels, height, width = images.shape
        found = torch.empty(images.shape, dtype=dtype, memory_format=torch.channels_last)
        # One image at a time and by rows, so that the values stay in the CPU's caches.
        _, mean, std = self._constants.repeat(1, width)
        rows = (height, width * channels)
        values = torch.empty(rows)
        for at in range(count):
            values.copy_(images[at].permute(1, 2, 0).reshape(rows))
            found[at].permute(1, 2, 0).view(rows).copy_(self._values(values, self._full, mean, std))
        return found

    def _values(self, values: Tensor, full: float | Tensor, mean: Tensor, std: Tensor) -> Tensor:
        if self._full != 1:
            values.div_(full)
        return values.sub_(mean).div_(std)
