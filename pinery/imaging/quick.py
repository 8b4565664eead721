"""The quick way from a JPEG to a model's pixels: libjpeg-turbo's output goes straight into torch's resizing.

Where its pixels differ from those of Pillow at all, they mostly differ by one step of 255. So only the decoders that
need not be exact go this way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pinery.errors import BadImageError
from pinery.imaging.budget import UNCOUNTED_PIXELS
from pinery.imaging.jpeg import plain_jpeg
from pinery.imaging.turbo import turbo_pixels

MODES = ("bilinear", "bicubic")


@dataclass(frozen=True, slots=True)
class CentreCrop:
    """How a model resizes an image, with antialiasing, and crops the middle of it."""

    size: int
    """The length in pixels that the short side is resized to."""
    crop: int
    """The side in pixels of the square that is cut out of the middle."""
    mode: str
    """The interpolation, such as `bilinear`."""


def decode_quickly(data: bytes, crop: CentreCrop | None, least_side: int | None, max_pixels: int) -> Tensor | None:
    """The pixels of a JPEG, resized and cropped: shape (3, crop, crop), uint8; None for one that can't go this way.

    These are images that aren't plain JPEGs, that are damaged, turned by their EXIF, too small or too large, and those
    that Pillow scales down while it decodes them.

    Args:
        data: an encoded image.
        crop: how the model resizes and crops; None where it does something else, for which there is no quick way.
        least_side: the short side that must be left of a JPEG that is scaled down; None for the decoder `exact`.
        max_pixels: the most pixels that an image may have.
    """
    if crop is None or least_side is None or max_pixels < UNCOUNTED_PIXELS:
        return None
    header = plain_jpeg(data)
    if header is None or crop.crop > crop.size or crop.mode not in MODES:
        return None
    short, long = sorted((header.height, header.width))
    resized = crop.size * crop.size * long // short
    if short >= 2 * least_side or short * long > UNCOUNTED_PIXELS or resized > UNCOUNTED_PIXELS:
        return None
    try:
        decoded = turbo_pixels(data, (header.width, header.height))
    except BadImageError:  # `decode` finds the damage, too
        return None
    return None if decoded is None else _cropped(torch.from_numpy(decoded), crop)


def _cropped(pixels: Tensor, how: CentreCrop) -> Tensor:
    """The pixels (height, width, 3), uint8, resized and cropped to (3, crop, crop), their channels last in memory."""
    shape = pixels.shape[:2]
    short = min(shape)
    target = [how.size if length == short else int(how.size * length / short) for length in shape]
    # Only a batch made before its axes are permuted is seen to have its channels last; others are turned, and back.
    images = pixels[None].permute(0, 3, 1, 2)
    if target != list(shape):
        images = F.interpolate(images, target, mode=how.mode, antialias=True)
    top, left = (round((length - how.crop) / 2) for length in target)
    return images[0, :, top : top + how.crop, left : left + how.crop]
