"""The quick way from a JPEG to a model's pixels: libjpeg-turbo's output goes straight into torch's resizing.

Where its pixels differ from those of Pillow at all, they mostly differ by one step of 255. So only the decoders that
need not be exact go this way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pinery.errors import BadImageError
from pinery.imaging.budget import UNCOUNTED_PIXELS
from pinery.imaging.jpeg import UPRIGHT_ALREADY, PlainJpeg, plain_jpeg
from pinery.imaging.turbo import turbo_pixels

MODES = ("bilinear", "bicubic")
SCALES = (8, 4, 2)
"""By these libjpeg scales an image down while it decodes it, as Pillow has it do."""
TURNS: dict[int, Callable[[Tensor], Tensor]] = {
    2: lambda images: images.flip(-1),
    3: lambda images: images.flip(-1, -2),
    4: lambda images: images.flip(-2),
    5: lambda images: images.transpose(-1, -2),
    6: lambda images: images.transpose(-1, -2).flip(-1),
    7: lambda images: images.transpose(-1, -2).flip(-1, -2),
    8: lambda images: images.transpose(-1, -2).flip(-2),
}
"""The effect of UPRIGHT's transpositions on images (..., height, width)."""
ROUNDING = 1e-6
"""This keeps a size that is whole from being rounded down to the one before."""


@dataclass(frozen=True, slots=True)
class CentreCrop:
    """How a model resizes an image, with antialiasing, and crops the middle of it."""

    size: int
    """The length in pixels that the short side is resized to."""
    crop: int
    """The side in pixels of the square that is cut out of the middle."""
    mode: str
    """The interpolation, such as `bilinear`."""
    square: bool = False
    """True where the long side is resized to the same length, whatever its ratio to the short one."""
    floor: bool = False
    """True where half a pixel too many is cut off at the bottom and on the right, as transformers does it; torchvision
    rounds to the even number of pixels."""


def decode_quickly(data: bytes, crop: CentreCrop | None, least_side: int | None, max_pixels: int) -> Tensor | None:
    """The pixels of a JPEG, resized and cropped: shape (3, crop, crop), uint8; None for one that can't go this way.

    These are images that aren't plain JPEGs, that are damaged, too small or too large.

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
    scale, sides = _scale(header, least_side), (header.height, header.width)
    if _is_large(header, scale, max_pixels) or crop.size * crop.size * max(sides) // min(sides) > UNCOUNTED_PIXELS:
        return None
    try:
        decoded = turbo_pixels(data, (-(-header.width // scale), -(-header.height // scale)))
    except BadImageError:  # `decode` finds the damage, too
        return None
    covered = header.height / scale, header.width / scale
    return None if decoded is None else cropped(torch.from_numpy(decoded), crop, covered, header.orientation)


def _scale(header: PlainJpeg, least_side: int) -> int:
    """The number by which `decode` divides the sides of a JPEG while it decodes it."""
    return next((scale for scale in SCALES if min(header.width, header.height) >= scale * least_side), 1)


def _is_large(header: PlainJpeg, scale: int, max_pixels: int) -> bool:
    """Whether a JPEG has more than `max_pixels`, or takes so much memory that it must be counted."""
    whole = header.width * header.height
    return whole > (UNCOUNTED_PIXELS if header.progressive else min(max_pixels, scale * scale * UNCOUNTED_PIXELS))


def cropped(
    pixels: Tensor, how: CentreCrop, covered: tuple[float, float] | None = None, orientation: int = UPRIGHT_ALREADY
) -> Tensor:
    """The pixels (height, width, 3), uint8, resized and cropped to (3, crop, crop), their channels last in memory.

    `covered` says what height and width of them the picture covers, where the last row and column lie partly beyond it;
    `orientation` how the picture is to be turned, which costs least once it is small.
    """
    shape = covered or (float(pixels.shape[0]), float(pixels.shape[1]))
    short = min(shape)
    target = [how.size if length == short or how.square else int(how.size * length / short) for length in shape]
    # Only a batch made before its axes are permuted is seen to have its channels last; others are turned, and back.
    images = pixels[None].permute(0, 3, 1, 2)
    if shape != pixels.shape[:2]:
        # The factors are given, for those of the sizes would stretch it; torch rounds down the sizes that they give.
        factors = [(length + ROUNDING) / side for length, side in zip(target, shape, strict=True)]
        images = F.interpolate(
            images, scale_factor=factors, mode=how.mode, antialias=True, recompute_scale_factor=False
        )
    elif target != list(pixels.shape[:2]):
        images = F.interpolate(images, target, mode=how.mode, antialias=True)
    if orientation != UPRIGHT_ALREADY:
        images = TURNS[orientation](images).contiguous(memory_format=torch.channels_last)
    margins = ((length - how.crop) / 2 for length in images.shape[2:])
    top, left = (int(margin) if how.floor else round(margin) for margin in margins)
    return images[0, :, top : top + how.crop, left : left + how.crop]
