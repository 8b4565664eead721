"""JPEGs by libjpeg-turbo: Pillow's pixels to the bit; every way refuses damage inside, and none what is harmless."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import torchvision
from hypothesis import example, given, settings
from PIL import Image

from pinery.errors import BadImageError
from pinery.imaging.decode import decode
from pinery.imaging.nvjpeg import DeviceJpegs
from pinery.imaging.quick import decode_quickly
from pinery.imaging.turbo import refuse_damage, tidied, turbo_pixels
from pinery.models.pixels import Pixels
from tests.imaging.pictures import jpeg, photograph

PHOTOGRAPH = photograph(640, 480)
KINDS = {
    "baseline": jpeg(PHOTOGRAPH, quality=90),
    "progressive": jpeg(PHOTOGRAPH, progressive=True),
    "restarts": jpeg(PHOTOGRAPH, restart_marker_rows=1),
    "own Huffman tables": jpeg(PHOTOGRAPH, optimize=True, subsampling=0),
    "grey": jpeg(PHOTOGRAPH.convert("L")),
    "CMYK": jpeg(PHOTOGRAPH.convert("CMYK")),
}
PIXELS = Pixels(torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.transforms())
DEVICE = DeviceJpegs("cpu", PIXELS.resized, 256)
LIMIT = 64_000_000


def by_pillow(data: bytes, least_side: int | None = None) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        if least_side:
            image.draft(None, (least_side, least_side))
        return np.asarray(image)


@pytest.mark.parametrize("least", [None, 200, 120, 60])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "CMYK"])
def test_pixels_are_pillows_to_the_bit(kind: str, least: int | None) -> None:
    expected = by_pillow(KINDS[kind], least)
    found = turbo_pixels(KINDS[kind], (expected.shape[1], expected.shape[0]), grey=kind == "grey")
    assert found is not None
    assert (found == expected).all()


@example((5, 5), 1, 0)
@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.sampled_from([None, 1, 5]), st.sampled_from([0, 1, 2]))
def test_odd_sizes_are_pillows_too(size: tuple[int, int], least: int | None, subsampling: int) -> None:
    data = jpeg(PHOTOGRAPH.crop((0, 0, *size)), subsampling=subsampling)
    expected = by_pillow(data, least)
    found = turbo_pixels(data, (expected.shape[1], expected.shape[0]))
    assert found is None or (found == expected).all()


def scan(data: bytes) -> tuple[int, int]:
    """Return where the data of the first scan begins, and where the last one ends."""
    begin = data.index(b"\xff\xda")
    return begin + 2 + int.from_bytes(data[begin + 2 : begin + 4], "big"), len(data) - 2


def cut(share: float) -> Callable[[bytes], bytes]:
    def work(data: bytes) -> bytes:
        begin, end = scan(data)
        return data[: begin + int((end - begin) * share)] + b"\xff\xd9"

    return work


def hole(value: bytes, at: float, length: float) -> Callable[[bytes], bytes]:
    def work(data: bytes) -> bytes:
        begin, end = scan(data)
        first, count = begin + int((end - begin) * at), int((end - begin) * length)
        return data[:first] + value * count + data[first + count :]

    return work


def flipped(data: bytes) -> bytes:
    """Bytes inverted at ten places of the scan."""
    begin, end = scan(data)
    damaged = bytearray(data)
    for tenth in range(10):
        at = begin + (end - begin) * tenth // 10
        damaged[at : at + 20] = bytes(one ^ 0x55 for one in damaged[at : at + 20])
    return bytes(damaged)


DAMAGE = {
    **{f"cut at {share:.0%} and closed": cut(share) for share in (0.1, 0.5, 0.9, 0.99)},
    "a hole of zeros": hole(b"\0", 0.4, 0.2),
    "a hole of ones": hole(b"\xff", 0.4, 0.2),
    "zeros from the middle on": hole(b"\0", 0.5, 0.5),
    "flipped bytes": flipped,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_inside_is_refused_on_every_way(kind: str, damage: str) -> None:
    data = DAMAGE[damage](KINDS[kind])
    for least in (None, 200, 60):
        with pytest.raises(BadImageError, match=r"^the JPEG is (damaged|truncated)"):
            decode(data, least_side=least)
    assert decode_quickly(data, PIXELS.centre_crop, 512, LIMIT) is None
    assert DEVICE([KINDS["baseline"], data], LIMIT)[1] is None
    with pytest.raises(BadImageError):
        refuse_damage(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_end_is_a_truncated_file(kind: str) -> None:
    for missing in (1, 2, 3, 100):
        with pytest.raises(BadImageError, match="the JPEG is truncated"):
            decode(KINDS[kind][:-missing])


def test_the_reason_has_libjpegs_words() -> None:
    with pytest.raises(BadImageError, match=r"^the JPEG is damaged inside \(premature end of data segment\)$"):
        decode(cut(0.5)(KINDS["baseline"]))


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (2 + len(content)).to_bytes(2, "big") + content


def after_start(more: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:2] + more + data[2:]


def before_tables(more: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(b"\xff\xdb", more + b"\xff\xdb", 1)


def before_end(more: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:-2] + more + data[-2:]


def with_odd_parameters(data: bytes) -> bytes:
    """A sequential scan that claims coefficients 0 to 5, as some cameras write it."""
    begin, _ = scan(data)
    return data[: begin - 2] + b"\x05" + data[begin - 1 :]


ODDITIES = {
    "bytes behind the end": lambda data: data + b"trailing\xff\xd8\xff" * 50,
    "bytes between segments": before_tables(b"abc"),
    "zeros between segments": before_tables(bytes(7)),
    "zeros before the end": before_end(bytes(300)),
    "a few zeros before the end": before_end(bytes(3)),
    "fill bytes before the end": before_end(b"\xff" * 30),
    "an unknown JFIF": lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\x09", 1),
    "a damaged profile": after_start(segment(0xE2, b"ICC_PROFILE\0\x05\x02ab")),
    "damaged EXIF": after_start(segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff\x12\x01")),
    "an empty comment": after_start(segment(0xFE, b"")),
    "an odd segment of a camera": after_start(segment(0xEB, bytes(range(256)))),
    "parameters of a progressive scan": with_odd_parameters,
}


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("kind", ["baseline", "restarts", "grey", "own Huffman tables"])
def test_what_no_viewer_minds_changes_no_pixel(kind: str, oddity: str) -> None:
    data = ODDITIES[oddity](KINDS[kind])
    assert data != KINDS[kind]
    refuse_damage(data)
    for least in (None, 120):
        assert decode(data, least_side=least).tobytes() == decode(KINDS[kind], least_side=least).tobytes()


@pytest.mark.parametrize("oddity", [one for one in ODDITIES if one != "parameters of a progressive scan"])
def test_nor_does_it_in_a_progressive_one(oddity: str) -> None:
    data = ODDITIES[oddity](KINDS["progressive"])
    assert decode(data).tobytes() == decode(KINDS["progressive"]).tobytes()


@pytest.mark.parametrize("oddity", ODDITIES)
def test_damage_is_found_behind_an_oddity(oddity: str) -> None:
    with pytest.raises(BadImageError, match=r"^the JPEG is damaged"):
        decode(ODDITIES[oddity](hole(b"\0", 0.4, 0.2)(KINDS["baseline"])))


def tables_between_scans(data: bytes) -> list[int]:
    """Return where the Huffman tables behind the first scan begin; a progressive JPEG has one for each scan."""
    first = data.index(b"\xff\xda")
    return [found.start() for found in re.finditer(rb"\xff\xc4", data) if found.start() > first]


@pytest.mark.parametrize("kind", ["RGB", "L", "CMYK"])
def test_zeros_in_place_of_whole_scans_are_damage(kind: str) -> None:
    """Behind half a table they look like bytes between segments, and the picture whole, only coarser."""
    data = jpeg(PHOTOGRAPH.convert(kind), progressive=True)
    for at in tables_between_scans(data):
        begin = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big") - 2
        with pytest.raises(BadImageError, match=r"^the JPEG is (damaged|truncated)"):
            decode(data[:begin] + bytes(len(data) - 2 - begin) + data[-2:])


def test_a_scan_that_is_missing_amid_others_is_damage() -> None:
    data = KINDS["progressive"]
    tables = tables_between_scans(data)
    found = []
    for begin, end in pairwise(tables):
        try:
            decode(data[:begin] + data[end:])
        except BadImageError as error:
            found.append(str(error))
    assert any("Inconsistent progression sequence" in reason for reason in found)


def test_leftover_image_data_before_the_end_is_no_padding() -> None:
    """Data that no pixel was made of means that something went missing before it."""
    _, end = scan(KINDS["baseline"])
    with pytest.raises(BadImageError, match=r"damaged inside \(\d+ extraneous bytes before marker 0xd9\)"):
        decode(before_end(KINDS["baseline"][end - 200 : end])(KINDS["baseline"]))


def test_two_pictures_in_one_file_are_the_first() -> None:
    buffer = io.BytesIO()
    PHOTOGRAPH.save(buffer, "MPO", save_all=True, append_images=[photograph(640, 480, 1)], quality=90)
    assert decode(buffer.getvalue()).tobytes() == decode(KINDS["baseline"]).tobytes()


@settings(max_examples=25)
@given(st.data())
def test_the_ways_agree_on_any_damage(data: st.DataObject) -> None:
    damaged = bytearray(KINDS["baseline"])
    begin, end = scan(damaged)
    at = data.draw(st.integers(begin, end - 40))
    damaged[at : at + 40] = data.draw(st.binary(min_size=40, max_size=40))
    refused = []
    for least in (None, 60):
        try:
            decode(bytes(damaged), least_side=least)
            refused.append(False)
        except BadImageError:
            refused.append(True)
    refused.append(decode_quickly(bytes(damaged), PIXELS.centre_crop, 512, LIMIT) is None)
    refused.append(DEVICE([bytes(damaged)], LIMIT)[0] is None)
    assert len(set(refused)) == 1


@given(st.binary(max_size=300), st.integers(0, 700))
def test_tidying_any_bytes_is_no_error(inserted: bytes, at: int) -> None:
    data = KINDS["baseline"]
    assert isinstance(tidied(inserted), bytes)
    assert isinstance(tidied(data[:at] + inserted + data[at:]), bytes)


def test_tidying_keeps_the_pixels() -> None:
    for kind, data in KINDS.items():
        assert by_pillow(tidied(data)).tobytes() == by_pillow(data).tobytes(), kind
