"""Mends TIFFs that Pillow misreads, and says why it refuses others."""

from __future__ import annotations

import io
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES, EXTRA, FORMAT = 258, 259, 262, 277, 284, 338, 339
"""The numbers of tags (TIFF 6.0, part 1)."""
UNSIGNED, SIGNED = 1, 2
FORMATS = {1: "integer", 2: "signed integer", 3: "float", 5: "complex integer", 6: "complex"}
COLOURS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "LAB", 9: "LAB", 10: "LAB"}
COLOURS |= {32803: "raw camera", 32844: "LogL", 32845: "LogLuv", 34892: "raw camera"}
COMPRESSIONS = {33003: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC"}
COMPRESSIONS |= {34892: "lossy DNG", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL"}
MM = TiffImagePlugin.MM
BIG_ENDIAN_BIGTIFF = b"MM\0+"
NATIVE = {"I;32B": "I;32N", "I;32BS": "I;32NS", "F;32BF": "F;32NF", "I;16BS": "I;16NS"}
DEEP_PLANES = {"RGB": "RGB;16N", "RGBA": "RGBA;16N", "CMYK": "CMYK;16N"}

# Pillow's table lacks unsigned 32-bit integers in one byte order, and all but a few images in which zero is white.
TABLE = TiffImagePlugin.OPEN_INFO
TABLE[MM, 1, (UNSIGNED,), 1, (32,), ()] = ("I", "I;32B")
for order, white, form, fill, bits, extra in list(TABLE):
    if white == 1 and (bits > (8,) or form == (SIGNED,)) and len(bits) == 1:  # `white_is_zero` does the rest
        TABLE.setdefault((order, 0, form, fill, bits, extra), TABLE[order, white, form, fill, bits, extra])


def mend(image: Image.Image) -> None:
    """Make Pillow load an opened TIFF right where it would take the bytes in the wrong order."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.tile:
        return
    tags, tile = image.tag_v2, image.tile[0]
    if tile.codec_name == "libtiff":
        # libtiff returns numbers in the machine's own byte order.
        raw, *rest = cast(tuple[Any, ...], tile.args)
        image.tile = [tile._replace(args=(NATIVE.get(raw, raw), *rest))]
    elif tags.get(PLANES) == 2 and bits_of(image) == 16 and image.mode in DEEP_PLANES:
        # Pillow's own decoder takes each value of a plane for a single byte.
        raw = "RGBa;16N" if tags.get(EXTRA) == (1,) else DEEP_PLANES[image.mode]
        whole = (0, 0, int(tags[256]), int(tags[257]))
        image.tile = [ImageFile._Tile("libtiff", whole, 0, (raw, False, tags.offset))]
        image.use_load_libtiff = True


def values_of(image: Image.Image) -> npt.NDArray[Any]:
    """The values of a grey image in the type in which they are stored: shape (height, width).

    Pillow itself holds unsigned 32-bit integers as signed ones, and signed 8-bit integers as unsigned ones.
    """
    values = np.asarray(image)
    if is_signed_bytes(image):
        return values.view(np.int8)
    unsigned = image.mode == "I" and bits_of(image) == 32 and _first(image, FORMAT, UNSIGNED) == UNSIGNED
    return values.view(np.uint32) if unsigned else values


def is_signed_bytes(image: Image.Image) -> bool:
    """Whether the image is a TIFF of signed 8-bit integers."""
    return image.mode == "L" and bits_of(image) == 8 and _first(image, FORMAT, UNSIGNED) == SIGNED


def white_is_zero(image: Image.Image) -> bool:
    """Whether the image is a TIFF whose smallest value is white."""
    return _first(image, PHOTOMETRIC, 1) == 0


def bits_of(image: Image.Image) -> int | None:
    """The bits of one value in a TIFF; None for other images."""
    return _first(image, BITS, 1) if isinstance(image, TiffImagePlugin.TiffImageFile) else None


def _first(image: Image.Image, tag: int, default: int) -> int:
    value = image.tag_v2.get(tag, default) if isinstance(image, TiffImagePlugin.TiffImageFile) else default
    return _number(value, default)


def _number(value: Any, default: int) -> int:
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else default


def unread_tiff(data: bytes) -> str | None:
    """The kind of TIFF that `data` is, where that kind can't be read here; None where it can."""
    if data.startswith(BIG_ENDIAN_BIGTIFF):
        return "a big-endian BigTIFF"
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2] == 43 else 8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        found = {tag: tags.get(tag) for tag in (BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, EXTRA, FORMAT)}
        if (compression := _number(found[COMPRESSION], 1)) in COMPRESSIONS:
            return f"a TIFF compressed as {COMPRESSIONS[compression]}"
        TiffImagePlugin.TiffImageFile(io.BytesIO(data)).close()
    except Exception as error:  # noqa: BLE001  damaged tags can raise anything
        return _pixels_named(found) if str(error) in ("unknown pixel mode", "unknown data organization") else None
    return None


def _pixels_named(tags: dict[int, Any]) -> str | None:
    colours, form = COLOURS.get(_number(tags[PHOTOMETRIC], 0)), FORMATS.get(_number(tags[FORMAT], 1))
    bits, samples = _number(tags[BITS], 1), _number(tags[SAMPLES], 1)
    if colours is None or form is None or not 1 <= bits <= 64 or not 1 <= samples <= 64:
        return None
    alpha = " with transparency" if {1, 2} & set(tags[EXTRA] or ()) else ""
    return f"a TIFF in {colours}{alpha} with {samples} {bits}-bit {form} channel{'s' if samples > 1 else ''}"
