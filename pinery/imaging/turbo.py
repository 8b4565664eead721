"""Decodes JPEGs by libjpeg-turbo, which reports damage in their data, as Pillow and torchvision don't.

The pixels are the same as Pillow's to the bit, and cost less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import simplejpeg

from pinery.errors import BadImageError

DAMAGE = "Corrupt JPEG data: "
"""The beginning of libjpeg's warnings of damage (jerror.h)."""
CUT_SHORT = "Premature end of JPEG file"
ODDITIES = ("Warning: unknown JFIF revision", "Unknown Adobe color transform", "Invalid SOS parameters")
"""Warnings that say nothing about the pixels. Only the first warning is reported, so it may hide others."""
UNABLE = re.compile("Insufficient memory|Memory allocation|Unsupported JPEG|Sorry|Could not|Maximum supported|tj")
"""The beginnings of errors that say nothing about the bytes."""
AMBIGUOUS = 2
"""Up to this long side, in pixels, several scales give the same size, and libjpeg-turbo may choose another one."""
MARKER = re.compile(rb"\xff+([^\0\xff])", re.DOTALL)
SCAN_END = re.compile(rb"\xff+([^\0\xff\xd0-\xd7])", re.DOTALL)
SCAN = 0xDA
PROGRESSIVE, FRAMES = (0xC2, 0xC6, 0xCA), (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC))
METADATA = (*range(0xE0, 0xF0), 0xFE)
LENGTHLESS = (0x01, *range(0xD0, 0xD8))
TABLES = (0xC4, 0xCC, 0xDB, 0xDC, 0xDD)


def turbo_pixels(data: bytes, size: tuple[int, int], grey: bool = False) -> npt.NDArray[np.uint8] | None:
    """The pixels of a JPEG: (height, width, 3) in RGB, or with `grey` (height, width); uint8.

    None where only Pillow can decode the JPEG. Raises BadImageError where libjpeg says that its data is damaged.

    Args:
        data: a JPEG in grey or in colours that become RGB.
        size: the width and height, in pixels, to decode it to: its own or 1/2, 1/4 or 1/8 of it, rounded up.
        grey: whether the JPEG is in grey, and is to stay so.
    """
    if max(size) <= AMBIGUOUS:
        return None
    try:
        return _decoded(data, size, grey)
    except ValueError as error:
        if not _is_warning(str(error)):
            return None
        _judge(data, str(error))
    try:
        return _decoded(tidied(data), size, grey)
    except ValueError:
        return None


def _decoded(data: bytes, size: tuple[int, int], grey: bool) -> npt.NDArray[np.uint8] | None:
    width, height = size
    pixels: npt.NDArray[np.uint8]
    pixels = simplejpeg.decode_jpeg(data, "GRAY" if grey else "RGB", min_width=width, min_height=height)
    if pixels.shape[:2] != (height, width):
        return None
    return pixels[..., 0] if grey else pixels


def refuse_damage(data: bytes) -> None:
    """Check a JPEG of any colours for damage, in a third of the time that decoding takes.

    Raises BadImageError where libjpeg says that its data is damaged.
    """
    complaint = _complaint(data)
    if complaint is not None:
        _judge(data, complaint)


def _complaint(data: bytes) -> str | None:
    """The complaint of libjpeg about a JPEG's bytes, or None where they are sound."""
    try:
        # For the smallest possible image, nearly all the work is reading the data.
        simplejpeg.decode_jpeg(data, "GRAY", fastdct=True, fastupsample=True, min_width=1, min_height=1)
    except ValueError as error:
        return str(error)
    return None


def _is_warning(message: str) -> bool:
    return message.startswith((DAMAGE, CUT_SHORT, *ODDITIES))


def _judge(data: bytes, complaint: str) -> None:
    if not complaint.startswith(CUT_SHORT):
        found = _complaint(tidied(data))
        if found is None or found.startswith(ODDITIES) or UNABLE.match(found):
            return
        complaint = found
    if complaint.startswith(CUT_SHORT):
        raise BadImageError("the JPEG is truncated")
    raise BadImageError(f"the JPEG is damaged inside ({complaint.removeprefix(DAMAGE)})")


def tidied(data: bytes) -> bytes:
    """A JPEG with the same pixels, but without what libjpeg warns of and no viewer minds; damage stays in it.

    Metadata about colours is kept. Other metadata is left out, and so are bytes between the segments before the first
    scan, and zeros that pad a scan. The JPEG ends at a marker that doesn't belong there. Zeros in place of a scan's
    data are left out, too: then the scan ends too early, and libjpeg says so.
    """
    return b"".join(_tidied(data))


def _tidied(data: bytes) -> Iterator[bytes]:
    at, progressive, frames, scans = 2, False, 0, 0
    yield data[:2]
    while found := MARKER.search(data, at):
        if scans:  # these bytes may be a scan whose beginning is lost
            yield data[at : found.start()]
        marker, at = found.group(1)[0], found.end()
        if marker in LENGTHLESS:
            yield bytes((0xFF, marker))
            continue
        frames += marker in FRAMES
        if frames > 1 or marker not in (SCAN, *FRAMES, *TABLES, *METADATA):
            yield b"\xff\xd9"
            return
        segment = data[at : at + int.from_bytes(data[at : at + 2], "big")]
        at += max(2, len(segment))
        if marker in FRAMES:
            progressive = marker in PROGRESSIVE
        if marker == SCAN and not progressive:
            segment = segment[:-3] + b"\0\x3f\0"
        if marker in METADATA:
            segment = _of_colours(segment)
        if segment:
            yield bytes((0xFF, marker)) + segment
        if marker == SCAN:
            scans += 1
            end = SCAN_END.search(data, at)
            scan = data[at : end.start() if end else len(data)]
            yield _unpadded(scan)
            at += len(scan)


def _of_colours(segment: bytes) -> bytes:
    """A segment of JFIF or Adobe in a form that libjpeg takes without a warning; empty for other segments."""
    if segment[2:7] == b"JFIF\0":
        return segment[:7] + b"\1" + segment[8:]
    if segment[2:7] == b"Adobe" and len(segment) >= 14:
        return segment[:13] + (segment[13:14] if segment[13] <= 2 else b"\1") + segment[14:]
    return b""


def _unpadded(scan: bytes) -> bytes:
    bare = scan.rstrip(b"\0")
    return bare if len(bare) == len(scan) or not bare.endswith(b"\xff") else bare + b"\0"
