"""JPEGs by a shorter way than Pillow's: libjpeg-turbo and torch's resizing, half the work.

Pixels differ from the long way's by one step in 255 at most places where they differ at all, so only the decoders that
need not be exact go this way.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pinery.imaging.budget import UNCOUNTED_PIXELS
from pinery.imaging.jpeg import plain_jpeg


def decode_jpegs(encoded: Sequence[bytes], device: torch.device) -> list[Tensor]:
    """The pixels of JPEGs, each (3, height, width), uint8, decoded on `device` and there.

    Raises RuntimeError if one of them can't be decoded, or torchvision has no decoder for the device.
    """
    try:
        from torchvision.io import ImageReadMode, decode_jpeg  # deprecated since torchvision 0.29
    except ImportError as error:
        raise RuntimeError("this torchvision decodes no JPEGs") from error
    data = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in encoded]
    try:
        decoded: list[Tensor] = decode_jpeg(data, ImageReadMode.RGB, device=device)
    except AttributeError as error:
        raise RuntimeError("this torchvision was built without its codecs") from error
    return decoded


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
        (pixels,) = decode_jpegs([data], torch.device("cpu"))
    except RuntimeError:  # damaged, for Pillow to say how; or a torchvision without its codecs
        return None
    if tuple(pixels.shape) != (3, *shape):
        return None
    target = [size if length == short else int(size * length / short) for length in shape]
    if target != list(shape):
        pixels = F.interpolate(pixels[None], target, mode=mode, antialias=True)[0]
    top, left = (round((length - crop) / 2) for length in target)
    middle: Tensor = pixels.permute(1, 2, 0)[top : top + crop, left : left + crop]
    return middle
