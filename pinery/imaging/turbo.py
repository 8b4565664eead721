"""JPEGs by libjpeg-turbo, which tells where their data is damaged; Pillow and torchvision don't.

Pixels are Pillow's to the bit, in about half its time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import simplejpeg

from pinery.errors import BadImageError

DAMAGE = "Corrupt JPEG data: "
"""How libjpeg's warnings of damage begin (jerror.h)."""
CUT_SHORT = "Premature end of JPEG file"
ODDITIES = (
    *("Warning: unknown JFIF revision", "Unknown Adobe color transform", "Invalid SOS parameters"),
    "Inconsistent progression sequence",
)
"""Its warnings that say nothing of the pixels. Only the first warning is told, so that there may be others behind."""
MARKER = re.compile(rb"\xff+([^\0\xff])", re.DOTALL)
SCAN_END = re.compile(rb"\xff+([^\0\xff\xd0-\xd7])", re.DOTALL)
BEGIN, SCAN, END, ADOBE = 0xD8, 0xDA, 0xD9, 0xEE
PROGRESSIVE, FRAMES = (0xC2, 0xC6, 0xCA, 0xCE), (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC))
METADATA = (*range(0xE0, 0xF0), 0xFE)
LENGTHLESS = (0x01, *range(0xD0, 0xD8), BEGIN)


def turbo_pixels(data: bytes, size: tuple[int, int], grey: bool = False) -> npt.NDArray[np.uint8] | None:
    """Pixels (height, width, 3), or with `grey` (height, width), uint8; None where only Pillow can decode the JPEG.

    Args:
        data: a JPEG in grey or in colours that become RGB.
        size: width and height, in pixels, that it comes out at: its own or 1/2, 1/4 or 1/8 of it, rounded up.
        grey: whether it is a JPEG in grey, to be left so.

    Raises:
        BadImageError: its data is damaged, as libjpeg says.
    """
    width, height = size
    colours = "GRAY" if grey else "RGB"
    pixels: npt.NDArray[np.uint8]
    try:
        pixels = simplejpeg.decode_jpeg(data, colours, min_width=width, min_height=height)
    except ValueError as error:
        if not _is_warning(str(error)):
            return None
        _judge(data, str(error))
        pixels = simplejpeg.decode_jpeg(data, colours, min_width=width, min_height=height, strict=False)
    if pixels.shape[:2] != (height, width):
        return None
    return pixels[..., 0] if grey else pixels


def refuse_damage(data: bytes) -> None:
    """Checks a JPEG, whatever its colours, at a third of what decoding it takes.

    Raises:
        BadImageError: its data is damaged, as libjpeg says.
    """
    warning = _first_warning(data)
    if warning is not None:
        _judge(data, warning)


def _first_warning(data: bytes) -> str | None:
    try:
        # The smallest picture there is: what remains to do is reading the data.
        simplejpeg.decode_jpeg(data, "GRAY", fastdct=True, fastupsample=True, min_width=1, min_height=1)
    except ValueError as error:
        return str(error) if _is_warning(str(error)) else None
    return None


def _is_warning(message: str) -> bool:
    return message.startswith((DAMAGE, CUT_SHORT, *ODDITIES))


def _judge(data: bytes, warning: str) -> None:
    if not warning.startswith(CUT_SHORT):
        found = _first_warning(tidied(data))
        if found is None or found.startswith(ODDITIES):
            return
        warning = found
    if warning.startswith(CUT_SHORT):
        raise BadImageError("the JPEG is truncated")
    raise BadImageError(f"the JPEG is damaged inside ({warning.removeprefix(DAMAGE)})")


def tidied(data: bytes) -> bytes:
    """A JPEG without what libjpeg warns of and no viewer minds: the same pixels, and damage stays damage.

    Metadata and bytes between segments are left out, and so are zeros that pad a scan. Zeros in place of a scan's data
    are read as data: without them it ends too early, and libjpeg says so.
    """
    return b"".join(_tidied(data))


def _tidied(data: bytes) -> Iterator[bytes]:
    at, progressive = 0, False
    while found := MARKER.search(data, at):
        marker, at = found.group(1)[0], found.end()
        if marker in LENGTHLESS or marker == END:
            yield bytes((0xFF, marker))
            if marker == END:
                return
            continue
        segment = data[at : at + int.from_bytes(data[at : at + 2], "big")]
        at += max(2, len(segment))
        if marker in FRAMES:
            progressive = marker in PROGRESSIVE
        if marker == SCAN and not progressive:
            segment = segment[:-3] + b"\0\x3f\0"
        if marker not in METADATA or (marker == ADOBE and segment[-1:] in (b"\0", b"\1", b"\2")):
            yield bytes((0xFF, marker)) + segment
        if marker == SCAN:
            end = SCAN_END.search(data, at)
            yield _unpadded(data[at : end.start() if end else len(data)])
            at = end.start() if end else len(data)


def _unpadded(scan: bytes) -> bytes:
    bare = scan.rstrip(b"\0")
    return bare if len(bare) == len(scan) or not bare.endswith(b"\xff") else bare + b"\0"
