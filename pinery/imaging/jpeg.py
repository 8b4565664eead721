"""Reads a JPEG's header without decoding it: whether it is a plain JPEG, or of a kind that can't be read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
"""The EXIF tag that says how an image is to be turned."""
UPRIGHT_ALREADY = 1
"""The value of that tag where it isn't to be turned."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transpositions that turn an image upright, by the value of that tag."""
PROGRESSIVE = 0xC2
FRAMES, TABLES, SCAN = (0xC0, 0xC1, PROGRESSIVE), (0xDB, 0xC4, 0xDD, *range(0xE0, 0xF0), 0xFE), 0xDA
"""JPEG's markers (ITU T.81, table B.1) for the usual frames, for tables and metadata around them, and for a scan."""
EXIF, XMP, ADOBE = b"Exif", b"http://ns.adobe.com/xap/1.0/\0", b"Adobe"
"""The beginnings of segments that may turn the image or say how its colours are meant."""
APP14, YCC = 0xEE, 1
"""The marker of Adobe's segment, and its last byte where colours are YCbCr, as in JFIF (Adobe TN 5116, section 18)."""
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
YCBCR = (1, 2, 3)
"""The identifiers of the components of a colour image in JFIF."""
END = b"\xff\xd9"
ANY_FRAME = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7)
FRAME_KINDS = {
    **dict.fromkeys((0xC3, 0xCB), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical JPEG"),
    0xF7: "a JPEG-LS image",
}
"""The kinds of JPEG that Pillow doesn't decode, by the marker of their frame."""


@dataclass(frozen=True, slots=True)
class PlainJpeg:
    """A JPEG in grey or in three colours, with 8 bits each; height and width are in pixels, before it is turned."""

    height: int
    width: int
    components: tuple[int, ...]
    """The identifiers of its components: one for a grey image, three for a coloured one."""
    progressive: bool = False
    """True where all of its coefficients are in memory while it is decoded, however far it is scaled down."""
    orientation: int = UPRIGHT_ALREADY
    """How its EXIF says that it is to be turned: UPRIGHT_ALREADY or a key of UPRIGHT."""


def plain_jpeg(data: bytes) -> PlainJpeg | None:
    """The contents of the header of `data`, or None where `data` isn't a plain JPEG.

    One that is turned by anything but a single EXIF before its frame is none.
    """
    at, frame, turn = 2, None, UPRIGHT_ALREADY
    if data[:2] != b"\xff\xd8":
        return None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if marker == SCAN:
            return frame and replace(frame, orientation=turn)
        if marker in FRAMES and frame is None:
            frame = _frame(segment, progressive=marker == PROGRESSIVE)
            if frame is None:
                return None
        elif marker not in TABLES or length < 2 or (segment.startswith(ADOBE) and not _is_ycc(marker, segment)):
            return None
        elif (said := _turn(segment)) != UPRIGHT_ALREADY:
            if said is None or frame or turn != UPRIGHT_ALREADY:
                return None
            turn = said
        at += 2 + length
    return None


def unread_jpeg(data: bytes) -> str | None:
    """The kind of JPEG that `data` is, where that kind can't be read here; None where it can."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF and data[at + 1] != SCAN:
        marker = data[at + 1]
        if marker in ANY_FRAME:
            bits, channels = data[at + 4], data[at + 9]
            if marker in FRAME_KINDS:
                return FRAME_KINDS[marker]
            if bits != 8:
                return f"a JPEG with {bits} bits per channel" if 2 <= bits <= 16 else None
            return None if channels in (1, 3, 4) else f"a JPEG with {channels} channels"
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _frame(segment: bytes, *, progressive: bool) -> PlainJpeg | None:
    if len(segment) < 6:
        return None
    bits, height, width, colours = segment[0], *np.frombuffer(segment, ">u2", 2, 1), segment[5]
    components = tuple(segment[6::3])
    if bits != 8 or colours not in (1, 3) or not height or not width or len(components) != colours:
        return None
    return PlainJpeg(int(height), int(width), components, progressive)


def _is_ycc(marker: int, segment: bytes) -> bool:
    """Whether a segment of Adobe's, such as Photoshop writes, says of the colours what is usual anyway."""
    return marker == APP14 and len(segment) >= 12 and segment[11] == YCC


def _turn(segment: bytes) -> int | None:
    """The turn that a segment asks for; None where it is XMP that asks, or EXIF that can't be read."""
    if segment.startswith(XMP):
        found = XMP_ORIENTATION.search(segment)
        return None if found is not None and int(found.group(1)) in UPRIGHT else UPRIGHT_ALREADY
    if not segment.startswith(EXIF):
        return UPRIGHT_ALREADY
    exif = Image.Exif()
    try:
        exif.load(segment)
        value = exif.get(ORIENTATION)
        return value if value in UPRIGHT else UPRIGHT_ALREADY
    except Exception:  # noqa: BLE001  damaged EXIF is left to `decode`
        return None
