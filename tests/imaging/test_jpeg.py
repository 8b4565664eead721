"""What a JPEG's header says: its size, its colours, and whether it is upright, as Pillow sees it."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from PIL import Image

from pinery.imaging.decode import decode
from pinery.imaging.jpeg import PlainJpeg, plain_jpeg
from tests.imaging.pictures import jpeg, photograph

PHOTOGRAPH = photograph(300, 260)
ORIENTATION = 0x0112


def exif(**tags: int | str) -> Image.Exif:
    found = Image.Exif()
    for name, value in tags.items():
        found[{"make": 0x010F, "orientation": ORIENTATION}[name]] = value
    return found


@pytest.mark.parametrize(("mode", "components"), [("RGB", (1, 2, 3)), ("L", (1,))])
@pytest.mark.parametrize("progressive", [False, True])
def test_size_and_colours_stand_in_the_header(mode: str, components: tuple[int, ...], progressive: bool) -> None:
    data = jpeg(PHOTOGRAPH.convert(mode), progressive=progressive, comment=b"a comment", icc_profile=bytes(70_000))
    assert plain_jpeg(data) == PlainJpeg(260, 300, components, progressive)


def test_components_that_are_not_those_of_jfif_are_told() -> None:
    assert plain_jpeg(jpeg(PHOTOGRAPH, keep_rgb=True)) in (None, PlainJpeg(260, 300, (82, 71, 66)))


@pytest.mark.parametrize("orientation", [None, *range(10), 300])
def test_it_is_turned_exactly_where_decoding_turns_it(orientation: int | None) -> None:
    tags = exif(make="a camera") if orientation is None else exif(make="a camera", orientation=orientation)
    data = jpeg(PHOTOGRAPH, exif=tags)
    turned = decode(data).tobytes() != decode(jpeg(PHOTOGRAPH)).tobytes()
    found = plain_jpeg(data)
    assert found is not None
    assert found.orientation == (orientation if turned else 1)
    assert turned == (orientation in range(2, 9))


def test_two_exifs_that_turn_it_are_left_to_pillow() -> None:
    data, turned = jpeg(PHOTOGRAPH, exif=exif(orientation=6)), exif(orientation=3).tobytes()
    assert plain_jpeg(data[:2] + segment(0xE1, turned) + data[2:]) is None


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (2 + len(content)).to_bytes(2, "big") + content


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        (0xE1, exif(orientation=6).tobytes()),
        (0xEE, b"Adobe\0\x64\0\0\0\0\0"),
        (0xC0, b"\x08\0\x08\0\x08\x01\x01\x11\0"),
    ],
    ids=["turned", "Adobe's colours", "a second frame"],
)
def test_what_stands_behind_the_frame_counts_too(marker: int, content: bytes) -> None:
    data = jpeg(PHOTOGRAPH)
    scan = data.index(b"\xff\xda")
    assert plain_jpeg(data[:scan] + segment(0xFE, b"a comment") + data[scan:]) == PlainJpeg(260, 300, (1, 2, 3))
    assert plain_jpeg(data[:scan] + segment(marker, content) + data[scan:]) is None


@pytest.mark.parametrize("marker", [0xEE, 0xED])
@pytest.mark.parametrize("transform", range(4))
def test_adobes_segment_is_plain_where_it_says_what_is_usual_anyway(marker: int, transform: int) -> None:
    data = jpeg(PHOTOGRAPH)
    marked = data[:2] + segment(marker, b"Adobe\0\x64\0\0\0\0" + bytes([transform])) + data[2 + 18 :]
    assert (plain_jpeg(marked) is not None) == (marker == 0xEE and transform == 1)
    if transform == 1:
        assert decode(marked).tobytes() == decode(data).tobytes()


def test_a_header_without_a_picture_is_none() -> None:
    data = jpeg(PHOTOGRAPH)
    assert plain_jpeg(data[: data.index(b"\xff\xda")]) is None


@pytest.mark.parametrize("orientation", ["1", "6"])
def test_an_orientation_in_xmp_counts_too(orientation: str) -> None:
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    data = jpeg(PHOTOGRAPH, xmp=packet.encode())
    turned = decode(data).size != PHOTOGRAPH.size
    assert turned == (orientation == "6")
    assert (plain_jpeg(data) is None) == turned


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        jpeg(PHOTOGRAPH)[:15],
        jpeg(PHOTOGRAPH.convert("CMYK")),
        jpeg(PHOTOGRAPH, exif=b"Exif\0\0 damaged"),
    ],
    ids=["nothing", "PNG", "a beginning", "CMYK", "damaged EXIF"],
)
def test_others_are_not_plain(data: bytes) -> None:
    assert plain_jpeg(data) is None


@given(st.binary(max_size=200))
def test_any_bytes_have_a_size_or_none(tail: bytes) -> None:
    found = plain_jpeg(b"\xff\xd8" + tail)
    assert found is None or (found.height > 0 and found.width > 0)


@given(st.data())
def test_a_damaged_header_is_no_error(data: st.DataObject) -> None:
    whole = bytearray(jpeg(photograph(20, 16), exif=exif(orientation=1)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(len(whole), 700) - 1))] = data.draw(st.integers(0, 255))
    found = plain_jpeg(bytes(whole))
    assert found is None or len(found.components) in (1, 3)
