"""TIFFs: numbers of every width and order come out as they were stored; kinds that can't be read are named."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from pinery.errors import BadImageError
from pinery.imaging.decode import decode
from tests.imaging.pictures import photograph, tiff

STEPS = np.linspace(0, 1, 12 * 16).reshape(12, 16)
EXPECTED = np.rint(STEPS * 255)
TYPES = ["u1", "u2", "u4", "i1", "i2", "i4", "f4"]


def stored(kind: str, steps: Any = STEPS) -> Any:
    """Steps from 0 to 1 over the whole range of a type."""
    if kind[0] == "f":
        return (steps * 3 - 1).astype(kind)
    limits = np.iinfo(kind)
    return (limits.min + steps * (int(limits.max) - int(limits.min))).round().astype(kind)


def pixels(data: bytes) -> Any:
    return np.asarray(decode(data)).astype(int)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white", [0, 1])
@pytest.mark.parametrize("kind", TYPES)
def test_grey_of_any_width_sign_and_order(kind: str, white: int, order: str, packed: bool) -> None:
    data = tiff(stored(kind), photometric=white, order=order, packed=packed)
    expected = EXPECTED if white else 255 - EXPECTED
    assert np.abs(pixels(data)[..., 0] - expected).max() <= 1


@given(st.sampled_from(["u4", "i1"]), st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_brighter_is_never_darker(kind: str, steps: list[float]) -> None:
    """Numbers that don't fit where Pillow puts them must not wrap around."""
    found = pixels(tiff(stored(kind, np.array([sorted(steps)]))))[0, :, 0]
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planes", [False, True], ids=["pixels", "planes"])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_colours_by_pixel_and_by_plane(kind: str, planes: bool, order: str, packed: bool) -> None:
    colours = np.stack([STEPS, STEPS**2, 1 - STEPS], -1)
    data = tiff(stored(kind, colours), photometric=2, order=order, packed=packed, planes=planes)
    assert np.abs(pixels(data) - np.rint(colours * 255)).max() <= 1


@pytest.mark.parametrize("planes", [False, True], ids=["pixels", "planes"])
def test_transparency_lies_on_white_in_sixteen_bits_too(planes: bool) -> None:
    red = np.zeros((4, 4, 4), np.uint16)
    red[..., 0], red[:2, :, 3] = 65535, 65535
    found = pixels(tiff(red, photometric=2, planes=planes, extra=(2,)))
    assert (found[:2] == (255, 0, 0)).all()
    assert (found[2:] == 255).all()


def test_premultiplied_grey_lies_on_white() -> None:
    grey = np.full((4, 4, 2), 100, np.uint8)
    grey[:2, :, 1] = 255
    found = pixels(tiff(grey, extra=(1,)))
    assert (found[:2] == 100).all()
    assert (found[2:] == 255).all()


def test_lab_is_read() -> None:
    lab = np.zeros((4, 4, 3), np.uint8)
    lab[..., 0] = 255
    assert pixels(tiff(lab, photometric=8)).min() > 250


def test_a_large_tiff_is_read() -> None:
    buffer = io.BytesIO()
    photograph(40, 30).save(buffer, "TIFF", big_tiff=True)
    assert buffer.getvalue()[2] == 43
    assert (pixels(buffer.getvalue()) == np.asarray(photograph(40, 30))).all()


CMYKA, RGB = np.zeros((4, 4, 5), np.uint8), np.zeros((4, 4, 3))
UNREAD = {
    "a TIFF in RGB with 3 32-bit float channels": tiff(RGB.astype("f4"), photometric=2),
    "a TIFF in RGB with 3 8-bit signed integer channels": tiff(RGB.astype("i1"), photometric=2),
    "a TIFF in CMYK with transparency with 5 8-bit integer channels": tiff(CMYKA, photometric=5, extra=(2,)),
    "a TIFF in LAB with 3 16-bit integer channels": tiff(RGB.astype("u2"), photometric=8),
    "a TIFF in grey with 1 64-bit float channel": tiff(STEPS),
    "a TIFF in grey with 1 64-bit complex channel": tiff(STEPS.astype("c8")),
    "a TIFF in grey with 5 8-bit integer channels": tiff(CMYKA),
    "a TIFF compressed as JPEG 2000": tiff(RGB.astype("u1"), photometric=2, compression=34712),
    "a TIFF compressed as JPEG XL": tiff(RGB.astype("u1"), photometric=2, compression=50002),
    "a big-endian BigTIFF": b"MM\0+\0\x08\0\0" + bytes(100),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_a_kind_that_cant_be_read_is_named(kind: str) -> None:
    with pytest.raises(BadImageError, match=f"^{kind}, which can't be read$"):
        decode(UNREAD[kind])


@given(st.data())
def test_damaged_tags_give_a_picture_or_a_reason(data: st.DataObject) -> None:
    whole = bytearray(tiff(stored("u1", STEPS[:2, :4])))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadImageError):
        assert decode(bytes(whole), 1_000_000).mode == "RGB"


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "group4"])
def test_a_damaged_tiff_has_libtiffs_words_and_prints_nothing(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = photograph(120, 90)
    buffer = io.BytesIO()
    (picture.convert("1") if compression == "group4" else picture).save(buffer, "TIFF", compression=compression)
    data = bytearray(buffer.getvalue())
    data[200:400] = b"\x55" * 200
    with pytest.raises(BadImageError, match=r"^the TIFF is damaged \(.*says libtiff\)$"):
        decode(bytes(data))
    assert capfd.readouterr() == ("", "")
    assert decode(buffer.getvalue()).size == (120, 90), "the next one doesn't suffer from it"
