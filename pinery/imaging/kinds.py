"""Finds out what kind of file some bytes are, from the bytes alone and not from the file's name."""

from __future__ import annotations

import functools
import re
import struct

from PIL import AvifImagePlugin, Jpeg2KImagePlugin, TgaImagePlugin, TiffImagePlugin, WebPImagePlugin

from pinery.errors import BadImageError

FORMATS = {
    **{kind: kind for kind in ("JPEG", "PNG", "GIF", "BMP", "ICO")},
    # Importing these plugins here keeps Pillow from loading all its plugins at the first TIFF or WebP.
    "WebP": WebPImagePlugin.WebPImageFile.format,
    "TIFF": TiffImagePlugin.TiffImageFile.format,
    "AVIF": AvifImagePlugin.AvifImageFile.format,
    "JPEG 2000": Jpeg2KImagePlugin.Jpeg2KImageFile.format,
    "TGA": TgaImagePlugin.TgaImageFile.format,
    "PNM": "PPM",
    "HEIC": "HEIF",
}
"""The kinds that are decoded, with Pillow's names for them."""
SIGNATURES = (
    (re.compile(rb"\xff\xd8"), "JPEG"),
    (re.compile(rb"\x89PNG"), "PNG"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP"),
    (re.compile(rb"GIF8"), "GIF"),
    (re.compile(rb"BM"), "BMP"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\0\0\x01\0[^\0]\0", re.DOTALL), "ICO"),
    (re.compile(rb"P[1-6][\s#]"), "PNM"),
)
UNREAD_KINDS = (
    (re.compile(rb"....ftyp", re.DOTALL), "a video"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"8BPS"), "a Photoshop document"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?<svg", re.IGNORECASE), "an SVG drawing"),
    (re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE), "an HTML page"),
)
PALETTE, COLOURS, GREY = (8,), (16, 24, 32), (8, 16)
TGA_DEPTHS = {(1, 1): PALETTE, (1, 9): PALETTE, (0, 2): COLOURS, (0, 10): COLOURS, (0, 3): GREY, (0, 11): GREY}
"""The possible bits per pixel, by whether there is a palette and by the image's type."""


def kind_of(data: bytes) -> str:
    """The kind of image that `data` is, a key of FORMATS. Raises BadImageError where it can't be decoded here."""
    for signature, kind in SIGNATURES:
        if signature.match(data):
            return kind
    if contained := _heif_kind(data):
        if contained == "HEIC" and not heic_is_read():
            raise BadImageError("a HEIC image, which needs `pip install 'pinery[heic]'`, and then `retry_quarantined`")
        return contained
    for signature, kind in UNREAD_KINDS:
        if signature.match(data):
            raise BadImageError(f"{kind}, which can't be read; docs/images.md lists what can")
    if not data.strip(b"\0"):
        raise BadImageError("the file holds only zero bytes")
    if _is_tga(data):
        return "TGA"
    raise BadImageError(f"not an image that can be read (starts with {data[:12]!r})")


@functools.cache
def heic_is_read() -> bool:
    """Whether the extra `heic` is installed; if so, Pillow opens HEIC from this call on."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False, decode_threads=1)
    return True


def _heif_kind(data: bytes) -> str | None:
    """`AVIF` or `HEIC`, which share a container with videos: its first box says what it holds. None for other files."""
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    if brands[0] in (b"avif", b"avis") or (brands[0] in (b"mif1", b"msf1") and b"avif" in brands):
        return "AVIF"
    return "HEIC" if brands[0][:3] in (b"hei", b"hev") or brands[0] in (b"mif1", b"msf1") else None


def _is_tga(data: bytes) -> bool:
    """Whether `data` is a TGA: it begins with no signature, so each field of its header has to make sense."""
    if len(data) < 18:
        return False
    _, palette, kind, first, length, entry, _, _, width, height, depth, flags = struct.unpack_from("<3B2HB4H2B", data)
    if depth not in TGA_DEPTHS.get((palette, kind), ()) or not width or not height or flags & 0xC0:
        return False
    return entry in (16, 24, 32) and 0 < length <= 256 if palette else first == length == entry == 0
