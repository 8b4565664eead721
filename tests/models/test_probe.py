"""`auto` takes the faster decoder only where the vectors stay the same."""

import io
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pinery.imaging.choice import LEAST_COSINE, choose_decoder, compare_on_device
from pinery.imaging.decode import decode
from pinery.imaging.quick import CentreCrop
from pinery.models.descriptor import Descriptor
from pinery.models.probe import settle
from pinery.target_settings import ModelSettings
from tests.imaging.pictures import photograph

LIMIT = 64_000_000


class Pixels:
    """A vector is the picture itself at 32 by 32, with its mean taken off; `finest` sees single pixels instead."""

    device, batch_size, resize_side = "cpu", 4, 32
    centre_crop: CentreCrop | None = None
    card = Descriptor.card

    def __init__(self, finest: bool = False) -> None:
        self.finest = finest

    def expect(self, images: int, threads: int) -> None:
        """Nothing to prepare."""

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        if self.finest:
            image = image.crop((0, 0, 32, 32))
        return torch.from_numpy(np.array(image.resize((32, 32), Image.Resampling.BICUBIC))).float()

    def prepare_on_device(self, encoded: Sequence[bytes], max_pixels: int) -> list[torch.Tensor | None]:
        return [None] * len(encoded)

    def embed(self, batch: torch.Tensor) -> Any:
        flat = batch.flatten(1)
        return (flat - flat.mean(dim=1, keepdim=True)).numpy()

    def embed_text(self, texts: list[str]) -> Any:
        raise NotImplementedError


def encoded(picture: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_photographs_are_scaled() -> None:
    decoder, worst = choose_decoder(Pixels(), [encoded(photograph(800, 600, seed)) for seed in range(3)], LIMIT)
    assert decoder == "scaled"
    assert LEAST_COSINE <= worst < 1


def test_a_model_that_can_tell_gets_every_pixel() -> None:
    decoder, worst = choose_decoder(Pixels(finest=True), [encoded(photograph(800, 600))], LIMIT)
    assert decoder == "exact"
    assert worst < LEAST_COSINE


def test_the_worst_image_decides() -> None:
    checks = Image.fromarray((np.indices((600, 800)).sum(0) % 2 * 255).astype(np.uint8)).convert("RGB")
    grey_on_checks = Image.composite(checks, photograph(800, 600), photograph(800, 600, 1).convert("1"))
    samples = [encoded(photograph(800, 600)), encoded(grey_on_checks, quality=5, subsampling=2)]
    each = [choose_decoder(Pixels(), [sample], LIMIT)[1] for sample in samples]
    assert choose_decoder(Pixels(), samples, LIMIT)[1] == min(each)
    assert choose_decoder(Pixels(), samples[::-1], LIMIT)[1] == min(each)


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [b"no image", b""],
        [encoded(photograph(100, 90))],
        [encoded(photograph(800, 600), "PNG")],
        [encoded(photograph(800, 600))[:5000]],
        [encoded(Image.new("RGB", (800, 600), (7, 7, 7)))],
    ],
    ids=["none", "no images", "small", "no JPEG", "truncated", "without a direction"],
)
def test_without_a_measurement_every_pixel_is_decoded(samples: list[bytes]) -> None:
    assert choose_decoder(Pixels(), samples, LIMIT) == ("exact", 1.0)


def test_an_image_over_the_limit_is_not_measured() -> None:
    assert choose_decoder(Pixels(), [encoded(photograph(800, 600))], 479_999) == ("exact", 1.0)


def test_the_probe_agrees_with_a_comparison_by_hand() -> None:
    model, data = Pixels(), encoded(photograph(700, 500))
    vectors = [model.embed(model.preprocess(decode(data, LIMIT, side)).unsqueeze(0))[0] for side in (None, 64)]
    cosine = vectors[0] @ vectors[1] / np.linalg.norm(vectors[0]) / np.linalg.norm(vectors[1])
    assert choose_decoder(model, [data], LIMIT)[1] == pytest.approx(cosine, abs=1e-6)


def test_the_quick_way_counts_as_much_as_scaling() -> None:
    class Quick(Pixels):
        """It preprocesses as `decode_quickly` does, but for the left half, which it makes `off` steps brighter."""

        centre_crop = CentreCrop(32, 32, "bicubic")

        def __init__(self, off: int) -> None:
            super().__init__()
            self.off = off

        def preprocess(self, image: Image.Image) -> torch.Tensor:
            pixels = super().preprocess(image).permute(2, 0, 1)
            pixels[..., :16] += self.off
            return pixels

        def embed(self, batch: torch.Tensor) -> Any:
            return super().embed(batch.float())

    samples = [encoded(photograph(60, 60, seed)) for seed in range(3)]
    decoder, worst = choose_decoder(Quick(0), samples, LIMIT)
    assert decoder == "scaled"
    assert LEAST_COSINE <= worst < 1
    assert choose_decoder(Quick(40), samples, LIMIT)[0] == "exact"


class OnDevice(Pixels):
    """Its device makes JPEGs as they are but for the left half, which is `off` steps brighter; no others."""

    batch_size = 8

    def __init__(self, off: float = 0, finest: bool = False, *, slow: bool = False, busy: bool = False) -> None:
        super().__init__(finest)
        self.off, self.slow, self.busy = off, slow, busy

    def embed(self, batch: torch.Tensor) -> Any:
        if self.busy:
            time.sleep(0.1)
        return super().embed(batch)

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        if not self.slow:
            time.sleep(0.01)
        return super().preprocess(image)

    def prepare_on_device(self, encoded: Sequence[bytes], max_pixels: int) -> list[torch.Tensor | None]:
        if self.slow:
            time.sleep(0.05)
        return [self._one(data) if data[:2] == b"\xff\xd8" else None for data in encoded]

    def _one(self, data: bytes) -> torch.Tensor:
        if not hasattr(self, "images"):
            self.images: dict[bytes, torch.Tensor] = {}
        if data not in self.images:
            self.images[data] = Pixels.preprocess(self, decode(data, LIMIT))
            self.images[data][:, :16] += self.off
        return self.images[data]


AUTO = ModelSettings(name="descriptor", precision="fp32", decode="auto")
MIXED = [*(encoded(photograph(100, 90, seed)) for seed in range(3)), encoded(photograph(60, 50), "PNG"), b"no image"]


def test_a_device_that_decodes_faster_and_as_well_does_so() -> None:
    model: Any = settle(OnDevice(), AUTO, lambda: MIXED, LIMIT)
    assert model.card.decoder == "cuda"
    figures = model.card.probe
    assert figures["cuda_decode_cosine"] == pytest.approx(1, abs=1e-6)
    assert figures["cuda_decodes_per_second"] > 1.1 * figures["cpu_decodes_per_second"]


@pytest.mark.parametrize(
    "model",
    [OnDevice(off=40), OnDevice(slow=True), OnDevice(busy=True), OnDevice(finest=True), Pixels()],
    ids=["other pixels", "slow", "the model is slower", "what it leaves would be scaled", "takes none"],
)
def test_any_other_leaves_it_to_the_cpu(model: Pixels) -> None:
    samples = [*MIXED, encoded(photograph(800, 600))] if model.finest else MIXED
    settled: Any = settle(model, AUTO, lambda: samples, LIMIT)
    assert settled.card.decoder == "exact"
    assert ("cuda_decode_cosine" in settled.card.probe) == isinstance(model, OnDevice)


def test_the_worst_image_decides_on_a_device_too() -> None:
    model = OnDevice(off=40)
    model.images = {data: Pixels.preprocess(model, decode(data, LIMIT)) for data in MIXED[:2]}
    found = compare_on_device(model, MIXED, LIMIT, 1, 1)
    assert found is not None
    assert found.cosine < LEAST_COSINE


def test_an_image_that_only_the_device_reads_is_no_reason_to_fail() -> None:
    model, whole = OnDevice(), encoded(photograph(100, 90))
    damaged = b"\xff\xd8 which Pillow refuses"
    model.images = {damaged: Pixels.preprocess(model, photograph(100, 90))}
    cores = torch.get_num_threads()
    found = compare_on_device(model, [damaged, whole], LIMIT, 2, 1)
    assert found is not None
    assert found.cosine == pytest.approx(1, abs=1e-6)
    assert compare_on_device(model, [damaged], LIMIT, 2, 1) is None
    assert torch.get_num_threads() == cores


def test_all_workers_decode_on_the_cpu() -> None:
    found = [compare_on_device(OnDevice(), MIXED, LIMIT, 1, workers) for workers in (1, 1000)]
    one, many = (each.cpu_rate for each in found if each is not None)
    assert one <= 100, "it takes 10 ms for an image"
    assert 100 < many <= 100_000


def test_an_explicit_decoder_is_not_probed() -> None:
    model: Any = settle(OnDevice(), AUTO.model_copy(update={"decode": "scaled"}), lambda: MIXED, LIMIT)
    assert model.card == Descriptor.card
