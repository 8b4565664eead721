"""JPEGs by a shorter way: libjpeg-turbo's pixels straight into torch's resizing.

Pixels differ from the long way's by one step in 255 at most places where they differ at all, so only the decoders that
need not be exact go this way.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pinery.errors import BadImageError
from pinery.imaging.budget import UNCOUNTED_PIXELS
from pinery.imaging.jpeg import plain_jpeg
from pinery.imaging.turbo import turbo_pixels


def decode_quickly(data: bytes, least_side: int, size: int, crop: int, mode: str) -> Tensor | None:
    """The pixels of a JPEG, resized and cropped: (crop, crop, 3), uint8; None for one that needs the long way.

    That way go images that aren't plain JPEGs, are damaged, turned by their EXIF, too small or large, or that Pillow
    scales down while it decodes them.

    Args:
        data: an encoded image.
        least_side: the short side that must be left of a JPEG that is scaled down.
        size: what the short side is resized to, in pixels.
        crop: what is cut out of the middle.
        mode: `bilinear` or `bicubic`, with antialiasing.
    """
    header = plain_jpeg(data)
    if header is None or crop > size or mode not in ("bilinear", "bicubic"):
        return None
    shape = (header.height, header.width)
    short, long = sorted(shape)
    if short >= 2 * least_side or short * long > UNCOUNTED_PIXELS or size * size * long // short > UNCOUNTED_PIXELS:
        return None
    try:
        decoded = turbo_pixels(data, (header.width, header.height))
    except BadImageError:  # the long way finds it, too
        return None
    if decoded is None:
        return None
    pixels = torch.from_numpy(decoded).permute(2, 0, 1)
    target = [size if length == short else int(size * length / short) for length in shape]
    if target != list(shape):
        pixels = F.interpolate(pixels[None], target, mode=mode, antialias=True)[0]
    top, left = (round((length - crop) / 2) for length in target)
    middle: Tensor = pixels.permute(1, 2, 0)[top : top + crop, left : left + crop]
    return middle
