"""The quick way from a JPEG to a model's pixels, against the one through Pillow and torchvision's transforms."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from PIL import Image
from torchvision.transforms.functional import center_crop, resize

from pinery.imaging.decode import decode
from pinery.imaging.quick import CentreCrop, decode_quickly
from pinery.models.pixels import Pixels
from tests.imaging.pictures import jpeg, photograph

LEAST, LIMIT = 512, 64_000_000
PLAIN = CentreCrop(256, 224, "bilinear")
PIXELS = {
    name: Pixels(torchvision.models.get_model_weights(name).DEFAULT.transforms())
    for name in ("squeezenet1_1", "vit_b_16", "efficientnet_b0")  # two sides of 256, bilinear and bicubic
}


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@given(
    st.sampled_from(sorted(PIXELS)),
    st.tuples(st.integers(100, 700), st.integers(100, 700)),
    st.sampled_from([(0, False, "RGB"), (1, False, "RGB"), (2, False, "RGB"), (2, True, "RGB"), (0, False, "L")]),
)
def test_pixels_differ_by_steps_that_no_vector_feels(
    name: str, size: tuple[int, int], kind: tuple[int, bool, str]
) -> None:
    subsampling, progressive, mode = kind
    options = {} if mode == "L" else {"subsampling": subsampling}
    data = jpeg(photograph(*size).convert(mode), quality=85, progressive=progressive, **options)
    found = decode_quickly(data, PIXELS[name].centre_crop, LEAST, LIMIT)
    exact = PIXELS[name](decode(data))
    assert found is not None
    assert (found.shape, found.dtype) == (exact.shape, exact.dtype)
    difference = (found.int() - exact.int()).abs().float()
    assert difference.max() <= 2
    assert difference.mean() < 0.5
    one, other = (PIXELS[name].normalised(pixels[None], torch.float32).flatten() for pixels in (found, exact))
    assert torch.cosine_similarity(one, other, dim=0) > 0.9999


@given(
    st.tuples(st.integers(15, 130), st.integers(15, 130)).map(lambda eighths: (8 * eighths[0], 8 * eighths[1])),
    st.sampled_from([(0, False), (2, False), (2, True)]),
)
def test_a_jpeg_is_scaled_down_as_pillow_does_it(size: tuple[int, int], kind: tuple[int, bool]) -> None:
    subsampling, progressive = kind
    data = jpeg(photograph(*size), quality=85, progressive=progressive, subsampling=subsampling)
    found = decode_quickly(data, CentreCrop(60, 48, "bilinear"), 120, LIMIT)
    exact = np.asarray(center_crop(resize(decode(data, LIMIT, 120), [60]), [48])).transpose(2, 0, 1)
    assert found is not None
    difference = np.abs(found.numpy().astype(int) - exact)
    assert difference.max() <= 2
    assert difference.mean() < 0.5


@given(st.tuples(st.integers(240, 1000), st.integers(240, 1000)), st.sampled_from(["bilinear", "bicubic"]))
def test_a_jpeg_that_is_scaled_to_parts_of_pixels_is_not_stretched(size: tuple[int, int], mode: str) -> None:
    data = jpeg(photograph(*size), quality=85)
    how = CentreCrop(60, 48, mode)
    found, whole = (decode_quickly(data, how, least, LIMIT) for least in (120, 1000))
    assert found is not None
    assert whole is not None
    assert found.shape == whole.shape == (3, 48, 48)
    one, other = (pixels.double().flatten() - pixels.double().mean() for pixels in (found, whole))
    assert torch.cosine_similarity(one, other, dim=0) > 0.999
    assert (found.int() - whole.int()).abs().float().mean() < 0.8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(301, 260), (260, 303), (515, 801)])
@pytest.mark.parametrize("name", ["squeezenet1_1", "vit_b_16"])
def test_a_jpeg_is_turned_upright(name: str, size: tuple[int, int], orientation: int) -> None:
    data = jpeg(photograph(*size), quality=85, exif=exif(orientation))
    found = decode_quickly(data, PIXELS[name].centre_crop, LEAST, LIMIT)
    exact = PIXELS[name](decode(data))
    assert found is not None
    assert found.stride(0) == 1
    difference = (found.int() - exact.int()).abs().float()
    assert difference.max() <= 2
    assert difference.mean() < 0.5


@pytest.mark.parametrize("size", [(300, 260), (256, 256)], ids=["resized", "of that size"])
def test_images_have_their_channels_last_as_those_of_pillow_do(size: tuple[int, int]) -> None:
    # Where both ways laid them out differently, each image of the one would be turned on its way into a batch.
    data, pixels = jpeg(photograph(*size)), PIXELS["squeezenet1_1"]
    found = decode_quickly(data, PLAIN, LEAST, LIMIT)
    assert found is not None
    for image in (found, pixels(decode(data))):
        assert (image.stride(0), image.stride(2)) == (1, 3)


PHOTOGRAPH = photograph(300, 260)
LONG_WAY = {
    "nothing": b"",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a JPEG's beginning": jpeg(PHOTOGRAPH)[:15],
    "cut short": jpeg(PHOTOGRAPH)[:4000],
    "turned by XMP": jpeg(PHOTOGRAPH, xmp=b'<rdf:Description tiff:Orientation="6"/>'),
    "CMYK": jpeg(PHOTOGRAPH.convert("CMYK")),
    "progressive, and large before it is scaled down": jpeg(photograph(1500, 1400), progressive=True),
    "large": jpeg(photograph(900, 2300)),
    "elongated": jpeg(photograph(20, 2000)),
}


@pytest.mark.parametrize("data", LONG_WAY.values(), ids=LONG_WAY.keys())
def test_others_go_the_long_way(data: bytes) -> None:
    assert decode_quickly(data, PIXELS["squeezenet1_1"].centre_crop, LEAST, LIMIT) is None


def test_what_no_resizing_can_do_goes_the_long_way() -> None:
    data = jpeg(PHOTOGRAPH)
    assert decode_quickly(data, PLAIN, LEAST, LIMIT) is not None
    assert decode_quickly(data, CentreCrop(200, 224, "bilinear"), LEAST, LIMIT) is None, "the crop is beyond the image"
    assert decode_quickly(data, CentreCrop(256, 224, "lanczos"), LEAST, LIMIT) is None
    assert decode_quickly(data, None, LEAST, LIMIT) is None, "the model does something else"
    assert decode_quickly(data, PLAIN, None, LIMIT) is None, "the decoder is exact"
    assert decode_quickly(data, PLAIN, LEAST, 1_000_000) is None, "the limit has to be judged first"


@given(st.data())
def test_damage_is_left_to_the_long_way_or_gives_some_picture(data: st.DataObject) -> None:
    whole = bytearray(jpeg(PHOTOGRAPH))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    del whole[data.draw(st.integers(100, len(whole))) :]
    found = decode_quickly(bytes(whole), PIXELS["squeezenet1_1"].centre_crop, LEAST, LIMIT)
    assert found is None or found.shape == (3, 224, 224)


def test_grey_images_have_three_equal_channels() -> None:
    found = decode_quickly(jpeg(PHOTOGRAPH.convert("L")), PLAIN, LEAST, LIMIT)
    assert found is not None
    values = np.asarray(found)
    assert values.shape == (3, 224, 224)
    assert (values == values[:1]).all()
