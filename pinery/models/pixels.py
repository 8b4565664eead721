"""What torchvision's classification transforms make of a picture: the same pixels, at less cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import center_crop, resize

from pinery.imaging.elongation import refuse_elongated


def preprocessing(transforms: Any) -> Callable[[Image.Image], Tensor]:
    """What `transforms`, a weights entry's, do to an RGB image: (3, height, width), float32, bit for bit.

    The function raises BadImageError for an image that is too elongated.
    """
    size, crop = transforms.resize_size[0], transforms.crop_size[0]
    # In full: a constant for each channel makes torch's arithmetic on images with channels last three times as slow.
    full = (crop, crop, 3)
    mean, std = (torch.tensor(values).expand(full).contiguous() for values in (transforms.mean, transforms.std))

    def preprocess(image: Image.Image) -> Tensor:
        refuse_elongated(image, size)
        image = resize(image, [size], interpolation=transforms.interpolation, antialias=transforms.antialias)
        pixels = torch.from_numpy(np.array(center_crop(image, [crop])))
        return pixels.float().div_(255).sub_(mean).div_(std).permute(2, 0, 1)

    return preprocess
