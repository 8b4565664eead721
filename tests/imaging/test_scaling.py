"""JPEGs scaled down while they are decoded: how far, what they look like then, and what it takes less of."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pinery.errors import BadImageError
from pinery.imaging.decode import decode, pixels_needed, scaled_size
from pinery.imaging.scaling import DECODERS, MARGINS, least_side
from tests.imaging import pictures
from tests.imaging.pictures import photograph


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    return pictures.jpeg(picture, **{"quality": 90} | options)


@pytest.mark.parametrize(
    ("size", "least", "expected"),
    [
        ((1600, 1200), None, (1600, 1200)),
        ((1600, 1200), 1200, (1600, 1200)),
        ((1600, 1200), 601, (1600, 1200)),
        ((1600, 1200), 600, (800, 600)),
        ((1600, 1200), 301, (800, 600)),
        ((1200, 1600), 300, (300, 400)),
        ((1600, 1200), 150, (200, 150)),
        ((1600, 1200), 10, (200, 150)),
        ((1601, 1203), 150, (200, 150)),
        ((1607, 1207), 150, (201, 151)),
        ((100, 1), 1, (100, 1)),
    ],
    ids=str,
)
def test_the_smallest_step_that_keeps_the_side_is_taken(
    size: tuple[int, int], least: int | None, expected: tuple[int, int]
) -> None:
    data = jpeg(Image.new("RGB", size, (9, 200, 30)))
    assert decode(data, least_side=least).size == expected
    assert (scaled_size(data, least) or size) == expected


def test_scaled_pixels_are_those_of_the_whole_picture_made_small() -> None:
    data = jpeg(photograph(1200, 900))
    whole, small = decode(data), decode(data, least_side=224)
    assert small.size == (300, 225)
    difference = np.asarray(whole.resize(small.size, Image.Resampling.BOX), float) - np.asarray(small, float)
    assert abs(difference).mean() < 1.5


def test_a_size_that_no_step_divides_is_not_stretched() -> None:
    """The right and lower edges stay where they are, though the smaller picture ends amid a pixel there."""
    edges = np.zeros((513, 705, 3), np.uint8)
    edges[-64:], edges[:, -64:] = 255, 255
    small = np.asarray(decode(jpeg(Image.fromarray(edges)), least_side=64))
    assert small.shape == (64, 88, 3)
    assert small[:54, :78].max() < 60
    assert small[58:].min() > 200
    assert small[:, 82:].min() > 200
    column = small[:40, :, 0].mean(0) / 255
    assert abs(column.sum() - 64 / 705 * 88) < 0.15


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_scaled_picture_is_upright_too(orientation: int) -> None:
    picture = photograph(640, 480)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(picture, exif=exif)
    whole, small = decode(data), decode(data, least_side=120)
    assert small.size == (whole.width // 4, whole.height // 4)
    difference = np.asarray(whole.resize(small.size, Image.Resampling.BOX), float) - np.asarray(small, float)
    assert abs(difference).mean() < 2


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_other_colours_scale_as_well(mode: str, progressive: bool) -> None:
    data = jpeg(photograph(800, 600).convert(mode), progressive=progressive)
    whole, small = decode(data), decode(data, least_side=150)
    assert (small.mode, small.size) == ("RGB", (200, 150))
    difference = np.asarray(whole.resize(small.size, Image.Resampling.BOX), float) - np.asarray(small, float)
    assert abs(difference).mean() < 2


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_refused_at_any_scale(progressive: bool) -> None:
    data = jpeg(photograph(800, 600), progressive=progressive)
    for share in (0.2, 0.5, 0.9, 0.999):
        for least in (300, 100):
            with pytest.raises(BadImageError, match="truncated"):
                decode(data[: int(len(data) * share)], least_side=least)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_come_whole(kind: str) -> None:
    buffer = io.BytesIO()
    photograph(400, 300).save(buffer, kind)
    data = buffer.getvalue()
    assert decode(data, least_side=50).size == (400, 300)
    assert scaled_size(data, 50) is None
    assert pixels_needed(data, least_side=50) == pixels_needed(data)


def test_what_is_no_image_has_no_scaled_size_and_its_usual_reason() -> None:
    assert scaled_size(b"no image", 10) is None
    with pytest.raises(BadImageError, match="not an image"):
        decode(b"no image", least_side=10)
    with pytest.raises(BadImageError, match="more than the 479,999 allowed"):
        decode(jpeg(Image.new("RGB", (800, 600))), 479_999, least_side=10)


def test_only_what_is_decoded_is_counted() -> None:
    plain, progressive = (jpeg(Image.new("L", (8000, 6000)), progressive=p) for p in (False, True))
    assert pixels_needed(plain) == 48_000_000
    assert pixels_needed(plain, least_side=448) == 750 * 1000
    assert pixels_needed(plain, least_side=1500) == 1500 * 2000
    # A progressive one is held whole in coefficients, however small it comes out.
    assert pixels_needed(progressive, least_side=448) == 750 * 1000 + 16_000_000
    assert pixels_needed(plain, 47_999_999, 448) == 0


def test_each_decoder_keeps_its_margin() -> None:
    assert set(MARGINS) < set(DECODERS)
    assert [least_side(decoder, 224) for decoder in DECODERS] == [None, 448, 224, 448]
    assert least_side("scaled", None) is None


PEAK = """
import io, resource, sys
from PIL import Image
from pinery.imaging.decode import decode

buffer = io.BytesIO()
Image.new("RGB", (8000, 8000), (1, 2, 3)).save(buffer, "JPEG", progressive=sys.argv[2] == "progressive")
data = buffer.getvalue()
del buffer
import ctypes; ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")  # forget the peak of making the picture
def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
before = kib("VmRSS")
decode(data, least_side=int(sys.argv[1]) or None)
print((kib("VmHWM") - before) / 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_a_large_jpeg_takes_far_less_memory() -> None:
    def peak(least: int, kind: str = "plain") -> float:
        command = [sys.executable, "-c", PEAK, str(least), kind]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return float(ended.stdout)

    assert peak(0) > 200
    assert peak(448) < 20
    assert peak(448, "progressive") < peak(0, "progressive")
