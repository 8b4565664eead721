"""PNGs: what stands beside the pixels, however large or damaged, costs no picture."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from pinery.errors import BadImageError
from pinery.imaging.decode import decode, pixels_needed
from pinery.imaging.png import bare_png
from tests.imaging.pictures import photograph

PHOTOGRAPH = photograph(60, 40)
HEADER = 33
"""Bytes before the first chunk that may stand anywhere."""


def png(**options: object) -> bytes:
    buffer = io.BytesIO()
    PHOTOGRAPH.save(buffer, "PNG", **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    check = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)


LARGE = zlib.compress(b"x" * (3 << 20))
BESIDE = {
    "a large text": chunk(b"zTXt", b"workflow\0\0" + LARGE),
    "a large international text": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
    "a large profile": chunk(b"iCCP", b"profile\0\0" + LARGE),
    "a plain text of 70 MB": chunk(b"tEXt", b"comment\0" + bytes(70 << 20)),
    "a damaged text": chunk(b"tEXt", b"comment\0text", checksum=1),
    "a chunk of nobody's": chunk(b"prVt", bytes(100), checksum=1),
}


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("beside", BESIDE)
def test_what_stands_beside_the_pixels_costs_nothing(beside: str, where: str) -> None:
    plain = png()
    at = HEADER if where == "before" else len(plain) - 12
    data = plain[:at] + BESIDE[beside] + plain[at:]
    assert decode(data).tobytes() == PHOTOGRAPH.tobytes()
    assert pixels_needed(data) == pixels_needed(plain)


def test_transparency_and_orientation_stay() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    red = Image.new("P", (6, 4), 1)
    red.putpalette([0, 0, 0, 255, 0, 0])
    buffer = io.BytesIO()
    red.save(buffer, "PNG", exif=exif, transparency=1)
    data = buffer.getvalue()
    found = decode(data[:HEADER] + BESIDE["a large text"] + data[HEADER:])
    assert found.size == (4, 6)
    assert found.getpixel((0, 0)) == (255, 255, 255)


def test_damaged_pixels_stay_damaged() -> None:
    data = png()
    at = data.index(b"IDAT") + 200
    damaged = data[:at] + bytes(100) + data[at + 100 :]
    for more in (b"", BESIDE["a large text"]):
        with pytest.raises(BadImageError, match=r"^the PNG is damaged"):
            decode(damaged[:HEADER] + more + damaged[HEADER:])
        with pytest.raises(BadImageError, match=r"^the PNG is truncated"):
            decode(data[:HEADER] + more + data[HEADER : len(data) // 2])


def test_nothing_is_left_out_of_a_bare_one() -> None:
    assert bare_png(png()) is None
    assert bare_png(b"\x89PNG") is None
    assert bare_png(b"\xff\xd8") is None
