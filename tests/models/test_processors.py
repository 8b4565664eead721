"""Image processors of transformers in two parts: together they do what the processor does, to the bit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from PIL import Image
from transformers import (
    AutoImageProcessor,
    BitImageProcessor,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    SiglipImageProcessor,
    ViTImageProcessor,
)

from pinery.imaging.quick import decode_quickly
from pinery.models.processors import Processor, load_processor
from tests.imaging.pictures import jpeg, photograph

SQUARE = {"height": 32, "width": 32}
KINDS: dict[str, Any] = {
    "CLIP": CLIPImageProcessor(),
    "CLIP with a margin": CLIPImageProcessor(size={"shortest_edge": 40}, crop_size=SQUARE),
    "SigLIP": SiglipImageProcessor(),
    "DINOv2": BitImageProcessor(size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}),
    "ViT": ViTImageProcessor(),
    "ConvNeXt": ConvNextImageProcessor(size={"shortest_edge": 64}),
    "with a longest side": CLIPImageProcessor(size={"shortest_edge": 40, "longest_edge": 90}, crop_size=SQUARE),
    "without values": CLIPImageProcessor(do_normalize=False),
    "cropped beyond its size": CLIPImageProcessor(size={"shortest_edge": 24}, crop_size=SQUARE),
    "by nearest neighbours": SiglipImageProcessor(resample=Image.Resampling.NEAREST),
}
QUICK = ["CLIP", "CLIP with a margin", "SigLIP", "DINOv2", "ViT"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Processor]]:
    """Each processor as transformers loads it, and as Pinery does."""
    found = {}
    for kind, processor in KINDS.items():
        folder: Path = tmp_path_factory.mktemp("processors") / "one"
        processor.save_pretrained(folder)
        found[kind] = AutoImageProcessor.from_pretrained(folder), load_processor(folder)
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(KINDS)), st.integers(20, 400), st.integers(20, 400), st.integers(0, 9))
def test_values_are_those_of_the_processor_to_the_bit(
    loaded: dict[str, tuple[Any, Processor]], kind: str, width: int, height: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    plain, ours = loaded[kind]
    image = Image.fromarray(pixels)
    assert torch.equal(ours.values(image)[0], plain(images=image, return_tensors="pt")["pixel_values"][0])


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_bytes_where_values_can_be_made_of_them_later(
    loaded: dict[str, tuple[Any, Processor]], kind: str
) -> None:
    _, ours = loaded[kind]
    found = ours.preprocess(photograph(90, 70))
    assert found.dtype == (torch.float32 if ours.normalise is None else torch.uint8)
    assert (ours.normalise is None) == (kind == "without values")
    assert ours.normalise is None or found.stride(0) == 1, "the channels are last, as in decoded JPEGs"
    assert (ours.centre_crop is not None) == (kind in QUICK)


@given(st.sampled_from(QUICK), st.tuples(st.integers(100, 500), st.integers(100, 500)), st.sampled_from([0, 2]))
def test_jpegs_that_take_the_quick_way_differ_by_steps(
    loaded: dict[str, tuple[Any, Processor]], kind: str, size: tuple[int, int], subsampling: int
) -> None:
    _, ours = loaded[kind]
    picture = photograph(*size)
    data = jpeg(picture, quality=85, subsampling=subsampling)
    found = decode_quickly(data, ours.centre_crop, 512, 64_000_000)
    with Image.open(io.BytesIO(data)) as image:
        exact = ours.preprocess(image.convert("RGB"))
    assert found is not None
    assert (found.shape, found.dtype) == (exact.shape, exact.dtype)
    difference = (found.int() - exact.int()).abs()
    assert difference.max() <= 3
    assert difference.float().mean() < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_images_on_their_device_become_what_each_alone_becomes(
    loaded: dict[str, tuple[Any, Processor]], kind: str
) -> None:
    _, ours = loaded[kind]
    pictures = [photograph(90, 70, seed) for seed in range(3)]
    images = torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures])
    assert ours.finish is not None
    expected = torch.stack([ours.preprocess(picture) for picture in pictures])
    assert torch.equal(ours.finish(images), expected)
