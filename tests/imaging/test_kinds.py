"""What a file is, its bytes say: every ending that is listed by default is decoded, whatever the file is called."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from pinery.errors import BadImageError
from pinery.imaging.decode import decode, pixels_needed
from pinery.imaging.kinds import FORMATS, kind_of
from pinery.source_kinds import HEIC_SUFFIXES, IMAGE_SUFFIXES, S3Source
from tests.imaging.pictures import photograph

PHOTOGRAPH = photograph(90, 60)
WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {}),
    "PNG": ("PNG", {}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "ICO": ("ICO", {"sizes": [(90, 60)]}),
    "WebP": ("WEBP", {}),
    "TIFF": ("TIFF", {}),
    "AVIF": ("AVIF", {}),
    "JPEG 2000": ("JPEG2000", {}),
    "TGA": ("TGA", {}),
    "PNM": ("PPM", {}),
    "HEIC": ("HEIF", {}),
}
ENDINGS = {
    "JPEG": (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".jif",
        ".jfi",
        ".pjpeg",
        ".pjp",
        ".jpg_large",
        ".jpg-large",
        ".mpo",
        ".jps",
    ),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "ICO": (".ico",),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "TGA": (".tga",),
    "PNM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "HEIC": HEIC_SUFFIXES,
}


def encoded(kind: str, picture: Image.Image = PHOTOGRAPH, **options: Any) -> bytes:
    if kind == "HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
    name, usual = WRITTEN[kind]
    buffer = io.BytesIO()
    picture.save(buffer, name, **usual | options)
    return buffer.getvalue()


def test_what_is_listed_is_what_is_decoded() -> None:
    assert set(ENDINGS) == set(FORMATS) == set(WRITTEN)
    assert {ending for endings in ENDINGS.values() for ending in endings} == {*IMAGE_SUFFIXES, *HEIC_SUFFIXES}
    assert set(S3Source(kind="s3", uri="s3://bucket").suffixes) <= {*IMAGE_SUFFIXES, *HEIC_SUFFIXES}


def test_the_page_names_every_ending() -> None:
    page = (Path(__file__).parents[2] / "docs" / "images.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\.[a-z0-9_-]+", page.split("## What is quarantined")[0]))
    assert named == {*IMAGE_SUFFIXES, *HEIC_SUFFIXES}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_kind_is_known_by_its_bytes_and_decoded(kind: str) -> None:
    data = encoded(kind)
    assert kind_of(data) == kind
    found = np.asarray(decode(data)).astype(int)
    assert found.shape == (60, 90, 3)
    assert np.abs(found - np.asarray(PHOTOGRAPH)).mean() < 12
    assert pixels_needed(data) == pixels_needed(encoded("BMP"))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_beginning_is_no_picture_of_any_kind(kind: str) -> None:
    data = encoded(kind)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(BadImageError, match=f"^the {kind}('s| is) "):
            decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["AVIF", "HEIC", "JPEG 2000", "PNM", "TGA"])
def test_too_many_pixels_are_refused_by_the_header(kind: str) -> None:
    with pytest.raises(BadImageError, match="90 x 60 pixels are more than the 5,399 allowed"):
        decode(encoded(kind), 5_399)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_new_containers_are_turned_upright_once(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    corner = Image.new("RGB", (64, 32), (255, 255, 255))
    corner.paste((255, 0, 0), (0, 0, 16, 16))
    red = np.asarray(decode(encoded(kind, corner, exif=exif.tobytes(), quality=95))).astype(int)[..., 1] < 128
    expected = {1: (0, 0), 3: (-1, -1), 6: (0, -1), 8: (-1, 0)}[orientation]
    assert red.shape == ((32, 64) if orientation in (1, 3) else (64, 32))
    assert red[expected]
    assert 0.06 < red.mean() < 0.2


@pytest.mark.parametrize("kind", ["AVIF", "HEIC", "ICO", "TGA", "JPEG 2000"])
def test_transparency_lies_on_white(kind: str) -> None:
    options = {"sizes": [(64, 64)]} if kind == "ICO" else {}
    found = decode(encoded(kind, Image.new("RGBA", (64, 64), (255, 0, 0, 0)), **options))
    assert np.asarray(found).min() > 250


@pytest.mark.parametrize(("mode", "name"), [("1", "pbm"), ("L", "pgm"), ("I;16", "pgm of 16 bits"), ("RGB", "ppm")])
def test_portable_maps_of_every_depth(mode: str, name: str) -> None:
    steps = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    picture = Image.fromarray(steps) if mode == "I;16" else Image.fromarray((steps >> 8).astype(np.uint8)).convert(mode)
    found = np.asarray(decode(encoded("PNM", picture)))[..., 0]
    expected = np.rint(steps / 257) if mode == "I;16" else np.asarray(picture.convert("RGB"))[..., 0]
    assert (found == expected).all(), name


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
@pytest.mark.parametrize("compression", [None, "tga_rle"])
def test_every_tga_is_known(mode: str, compression: str | None) -> None:
    data = encoded("TGA", PHOTOGRAPH.convert(mode), compression=compression)
    assert kind_of(data) == "TGA"
    assert decode(data).tobytes() == PHOTOGRAPH.convert(mode).convert("RGB").tobytes()


@given(st.binary(max_size=40))
def test_hardly_any_other_bytes_are_taken_for_a_tga(data: bytes) -> None:
    """A cursor, a font, an empty audio file: a header in which one field makes no sense is none."""
    try:
        kind = kind_of(data)
    except BadImageError:
        return
    assert kind != "TGA" or (data[1] < 2 and data[16] in (8, 16, 24, 32))


@pytest.mark.parametrize(
    "data",
    [b"\0\0\2\0\1\0\x20\x20\0\0\0\0" + bytes(40), b"\0\1\0\0\0\x0f\0\x80" + bytes(40), b"\0\0\1\xba" + bytes(40)],
)
def test_a_cursor_a_font_and_a_film_are_no_pictures(data: bytes) -> None:
    with pytest.raises(BadImageError, match="not an image that can be read"):
        kind_of(data)


def test_without_its_extra_a_heic_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from pinery.imaging.decode import decode\n"
        "decode(b'\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0mif1heic')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "a HEIC image, which needs `pip install 'pinery[heic]'`" in ended.stderr


def test_a_jpeg_of_more_bits_or_another_kind_is_named() -> None:
    data = encoded("JPEG")
    frame = data.index(b"\xff\xc0")
    for changed, reason in (
        (data[: frame + 4] + b"\x0c" + data[frame + 5 :], "a JPEG with 12 bits per channel"),
        (data[: frame + 1] + b"\xc3" + data[frame + 2 :], "a lossless JPEG"),
        (data[: frame + 1] + b"\xf7" + data[frame + 2 :], "a JPEG-LS image"),
    ):
        with pytest.raises(BadImageError, match=f"^{reason}, which can't be read$"):
            decode(changed)


def test_a_bmp_of_an_odd_kind_is_named() -> None:
    data = encoded("BMP")
    with pytest.raises(BadImageError, match=r"^a BMP of a kind that can't be read \(pixel depth \(2\)\)$"):
        decode(data[:28] + b"\2\0" + data[30:])
