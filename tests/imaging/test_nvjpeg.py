"""Decoding many JPEGs at once, as on a CUDA device; without one, libjpeg-turbo does it in nvJPEG's place."""

import warnings
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
import torchvision
from hypothesis import given
from PIL import Image

from pinery.imaging import nvjpeg
from pinery.imaging.decode import decode
from pinery.imaging.nvjpeg import DeviceJpegs
from pinery.models import registry
from pinery.models.pixels import Pixels
from pinery.target_settings import ModelSettings
from tests.imaging.pictures import jpeg, photograph
from tests.models import tiny
from tests.small_models import save_clip

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LIMIT = 64_000_000
PIXELS = Pixels(torchvision.models.get_model_weights("squeezenet1_1").DEFAULT.transforms())


def decoder(finish: nvjpeg.Finish = PIXELS.resized) -> DeviceJpegs:
    return DeviceJpegs(DEVICE, finish, 256)


def close(found: torch.Tensor | None, data: bytes) -> bool:
    exact = PIXELS(decode(data))
    assert found is not None
    assert (found.shape, found.dtype) == (exact.shape, exact.dtype)
    one, other = (PIXELS.normalised(pixels.cpu()[None], torch.float32).flatten() for pixels in (found, exact))
    return bool(torch.cosine_similarity(one, other, dim=0) > 0.9999)


PHOTOGRAPHS = [jpeg(photograph(300 + 20 * (seed % 3), 260, seed), quality=90) for seed in range(7)]


def test_pixels_are_those_of_the_exact_way_in_order() -> None:
    found = decoder()(PHOTOGRAPHS, LIMIT)
    assert all(close(image, data) for image, data in zip(found, PHOTOGRAPHS, strict=True))


NOT_FOR_IT = {
    "nothing": b"",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "cut short": PHOTOGRAPHS[0][:4000],
    "grey": jpeg(photograph(300, 260).convert("L")),
    "CMYK": jpeg(photograph(300, 260).convert("CMYK")),
    "RGB": jpeg(photograph(300, 260), keep_rgb=True),
    "turned": jpeg(
        photograph(300, 260), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    ),
    "elongated": jpeg(photograph(20, 2000)),
}


@pytest.mark.parametrize("data", NOT_FOR_IT.values(), ids=NOT_FOR_IT.keys())
def test_other_images_are_left_alone_and_cost_their_neighbours_nothing(data: bytes) -> None:
    found = decoder()([PHOTOGRAPHS[0], data, PHOTOGRAPHS[1]], LIMIT)
    assert found[1] is None
    assert close(found[0], PHOTOGRAPHS[0])
    assert close(found[2], PHOTOGRAPHS[1])


def test_what_the_device_refuses_costs_its_neighbours_nothing() -> None:
    header = PHOTOGRAPHS[0].index(b"\xff\xda")
    damaged = PHOTOGRAPHS[0][: header + 3] + b"\xff\xd9"  # a whole header, and no picture
    sizes = []

    def finish(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return PIXELS.resized(images)

    batch = [*PHOTOGRAPHS[:3], damaged, *PHOTOGRAPHS[3:]]
    found = decoder(finish)(batch, LIMIT)
    assert [at for at, image in enumerate(found) if image is None] == [3]
    assert all(close(image, data) for image, data in zip(found, batch, strict=True) if image is not None)
    assert sum(sizes[1:]) == len(PHOTOGRAPHS), "the first is a trial"


def test_many_refusals_leave_the_rest_to_the_cpu() -> None:
    header = PHOTOGRAPHS[0].index(b"\xff\xda")
    damaged = PHOTOGRAPHS[0][: header + 3] + b"\xff\xd9"
    one = decoder()
    assert one([damaged] * 100, LIMIT) == [None] * 100
    assert close(one(PHOTOGRAPHS[:1], LIMIT)[0], PHOTOGRAPHS[0]), "the next batch is tried again"


def test_a_damaged_picture_depends_on_no_neighbour() -> None:
    """Pixels that a decoder leaves unwritten must not be another image's."""
    damaged = bytearray(PHOTOGRAPHS[0])
    for at in range(len(damaged) // 2, len(damaged) // 2 + 60):
        damaged[at] ^= 0x55
    one = decoder()
    found = [one([*PHOTOGRAPHS[at:], bytes(damaged)], LIMIT)[-1] for at in range(5)]
    assert all(image is None for image in found) or all(torch.equal(image, found[0]) for image in found)


def test_crops_keep_nothing_else_in_memory() -> None:
    for image in decoder()(PHOTOGRAPHS, LIMIT):
        assert image.untyped_storage().nbytes() <= len(PHOTOGRAPHS) * image.nbytes


def test_no_memory_for_all_at_once_is_memory_for_fewer() -> None:
    def finish(images: torch.Tensor) -> torch.Tensor:
        if len(images) > 2:
            raise torch.OutOfMemoryError("too many")
        return PIXELS.resized(images)

    alike = [PHOTOGRAPHS[0]] * 7
    assert all(close(image, data) for image, data in zip(decoder(finish)(alike, LIMIT), alike, strict=True))


def test_images_over_the_limit_are_left_alone() -> None:
    small = jpeg(photograph(200, 300))
    found = decoder()([PHOTOGRAPHS[0], small], 60_000)
    assert found[0] is None
    assert close(found[1], small)


@given(st.lists(st.sampled_from([(300, 260), (2000, 1500), (4000, 4000), (4001, 4000)]), max_size=40))
def test_never_too_many_pixels_at_once(sizes: list[tuple[int, int]]) -> None:
    encoded = [HEADERS[size] for size in sizes]
    chunks = list(nvjpeg._chunks(encoded, nvjpeg.LARGEST_PIXELS, 256, nvjpeg.PIXELS_AT_ONCE))
    assert [at for chunk in chunks for at in chunk] == [at for at, size in enumerate(sizes) if size != (4001, 4000)]
    for chunk in chunks:
        assert 0 < sum(width * height for width, height in (sizes[at] for at in chunk)) <= nvjpeg.PIXELS_AT_ONCE


HEADERS = {size: jpeg(Image.new("RGB", size)) for size in [(300, 260), (2000, 1500), (4000, 4000), (4001, 4000)]}


def test_a_device_that_is_no_good_for_it_is_told_once_and_takes_nothing() -> None:
    def finish(_: torch.Tensor) -> torch.Tensor:
        raise TypeError("can't take images of this device")

    one = decoder(finish)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", RuntimeWarning)
        assert [one(PHOTOGRAPHS, LIMIT) for _ in range(2)] == [[None] * len(PHOTOGRAPHS)] * 2
    (warning,) = [warning for warning in told if warning.category is RuntimeWarning]
    assert "decoded by the CPU, because " in str(warning.message)
    assert "can't take images of this device" in str(warning.message)


FAMILIES = {"clip": save_clip, "siglip": tiny.save_siglip, "dinov2": tiny.save_dinov2, "convnext": tiny.save_convnext}


@pytest.mark.parametrize("kind", FAMILIES)
def test_an_image_processor_gives_the_same_where_the_image_is(kind: str, tmp_path: Path) -> None:
    family = "clip" if kind in ("clip", "siglip") else "hf"
    settings = ModelSettings(name=f"{family}:{FAMILIES[kind](tmp_path / kind)}", device=DEVICE, precision="fp32")
    model: Any = registry.load(settings)
    one = DeviceJpegs(DEVICE, model._finish, model.resize_side)
    for data, image in zip(PHOTOGRAPHS, one(PHOTOGRAPHS, LIMIT), strict=True):
        exact = model.preprocess(decode(data))
        assert image is not None
        assert (image.shape, image.dtype) == (exact.shape, exact.dtype)
        vectors = [torch.from_numpy(model.embed(each[None])[0]) for each in (image, exact)]
        assert torch.cosine_similarity(*vectors, dim=0) > 0.9999


def test_a_model_on_the_processor_leaves_all_to_it(tmp_path: Path) -> None:
    model = registry.load(ModelSettings(name=f"clip:{save_clip(tmp_path / 'clip')}", device="cpu", decode="cuda"))
    assert model.card.decoder == "cuda"
    assert model.prepare_on_device(PHOTOGRAPHS, LIMIT) == [None] * len(PHOTOGRAPHS)
