"""Mends PNGs that Pillow refuses for something beside their pixels: large texts and profiles, or damaged metadata."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

BEGIN = b"\x89PNG\r\n\x1a\n"
NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""The chunks that an image needs."""
WANTED = (b"tRNS", b"eXIf")
"""The chunks that are kept where their checksum is right: transparency, and the EXIF that may turn the image."""


def bare_png(data: bytes) -> bytes | None:
    """A PNG with only its pixels, transparency and EXIF; None where `data` is no PNG or has nothing else."""
    if not data.startswith(BEGIN):
        return None
    bare = BEGIN + b"".join(_kept(data))
    return bare if len(bare) < len(data) else None


def _kept(data: bytes) -> Iterator[bytes]:
    at, view = len(BEGIN), memoryview(data)
    while at + 12 <= len(data):
        name, end = data[at + 4 : at + 8], at + 12 + _number(data[at : at + 4])
        if name in NEEDED or (name in WANTED and zlib.crc32(view[at + 4 : end - 4]) == _number(data[end - 4 : end])):
            yield data[at:end]
        if name == b"IEND":
            return
        at = end


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
