"""Precision `auto`: decided once, by speed and by what it does to the vectors of the corpus' own first images."""

import dataclasses
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from pinery.config import Config
from pinery.corpus.cards import TRIED
from pinery.corpus.corpus import Corpus
from pinery.errors import TerminalError
from pinery.models import registry
from pinery.models.device import lower_precision
from pinery.models.network import TorchModel
from pinery.models.precision import CLOSE, FASTER, IMAGES, settle_precision
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings
from tests.models import tiny
from tests.models.pictures import pictures


def encoded(images):
    """The images as PNG files."""
    files = []
    for image in images:
        out = io.BytesIO()
        image.save(out, "PNG")
        files.append(out.getvalue())
    return files


CARD = ModelCard("mean", "none", "", "mean", "none", "exact", "fp32", normalise=False, dimension=3)
needs_bf16 = pytest.mark.skipif(lower_precision("cpu") is None, reason="this CPU has no fast bf16")


class MeanColour(torch.nn.Module):
    """Vectors are the mean colour, off by `offset` on the way; it works hard in one type of number."""

    def __init__(self, offset, hard):
        super().__init__()
        self.offset = torch.nn.Parameter(torch.tensor([offset]))
        self.hard = hard

    def forward(self, images):
        if images.dtype == self.hard:
            torch.randn(700, 700) @ torch.randn(700, 700)
        return images.mean(dim=(2, 3)) + self.offset - self.offset


def tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def model(offset=0.0, hard=torch.float32):
    settings = ModelSettings(name="descriptor", device="cpu")
    return TorchModel(MeanColour(offset, hard), tensor, CARD, settings, resize_side=50)


@needs_bf16
def test_the_lower_precision_is_taken_where_it_is_faster_and_close():
    settled = settle_precision(model(), pictures(5))
    assert settled.card.precision == "bf16"
    probe = settled.card.probe
    assert CLOSE <= probe["precision_cosine"] < 1
    assert probe["precision_images"] == 5
    assert probe["bf16_images_per_second"] > FASTER * probe["fp32_images_per_second"] > 0
    images = torch.stack([tensor(picture) for picture in pictures(5)])
    exact = model().embed(images)
    assert 0 < np.abs(settled.embed(images) - exact).max() < 0.01


@needs_bf16
def test_it_stays_fp32_where_the_lower_one_is_slower():
    settled = settle_precision(model(hard=torch.bfloat16), pictures(5))
    assert settled.card.precision == "fp32"
    assert settled.card.probe["bf16_images_per_second"] < settled.card.probe["fp32_images_per_second"]


@needs_bf16
def test_it_stays_fp32_where_vectors_would_turn():
    settled = settle_precision(model(offset=1000.0), pictures(5))
    assert settled.card.precision == "fp32"
    assert settled.card.probe["precision_cosine"] < CLOSE
    assert settled.card.probe["bf16_images_per_second"] > settled.card.probe["fp32_images_per_second"]


@needs_bf16
def test_it_takes_no_more_images_than_needed():
    images = iter(pictures(IMAGES + 8))
    assert settle_precision(model(), images).card.probe["precision_images"] == IMAGES
    assert len(list(images)) == 8


def test_without_images_it_is_fp32_without_figures():
    for settled in (
        settle_precision(model(), []),
        registry.load(ModelSettings(name="descriptor"), samples=lambda: encoded(pictures(2))),
    ):
        assert settled.card.precision == "fp32"
        assert settled.card.probe == {}


@needs_bf16
def test_images_too_elongated_for_the_model_are_passed_over(tmp_path):
    clip = tiny.save_chinese_clip(tmp_path / "clip")
    images = [Image.new("RGB", (1_000_000, 1)), *pictures(3)]
    found = registry.load(ModelSettings(name=f"clip:{clip}", device="cpu"), samples=lambda: encoded(images)).card
    assert found.probe["precision_images"] == 3


def test_a_set_precision_is_not_probed(tmp_path):
    name = f"hf:{tiny.save_vit(tmp_path / 'vit')}"
    for precision in ("fp32", "bf16"):
        found = registry.load(
            ModelSettings(name=name, device="cpu", precision=precision), samples=lambda: encoded(pictures(2))
        ).card
        assert (found.precision, found.probe) == (precision, {})


def test_the_probe_is_no_part_of_the_key_and_old_cards_still_load():
    probed = dataclasses.replace(CARD, probe={"precision_cosine": 0.9995})
    assert (probed, probed.key) == (CARD, CARD.key)
    stored = json.loads(json.dumps(dataclasses.asdict(probed)))
    assert ModelCard(**stored).probe == {"precision_cosine": 0.9995}
    del stored["probe"]
    assert ModelCard(**stored) == CARD


@pytest.fixture
def corpus(tmp_path):
    """A corpus of five pictures after three files that are none, and the folder of its model."""
    images, model = tmp_path / "images", tiny.save_vit(tmp_path / "vit")
    images.mkdir()
    for number in range(3):
        (images / f"0-{number}.jpg").write_bytes(b"no image")
    for number, picture in enumerate(pictures(5)):
        picture.save(images / f"1-{number}.jpg")
    return images, model


def opened(corpus, state="state"):
    images, model = corpus
    source = {"kind": "folder", "path": str(images)}
    settings = {"name": f"hf:{model}", "device": "cpu"}
    return Corpus(Config(corpus="c", source=source, model=settings, state=str(images.parent / state)))


@needs_bf16
def test_a_corpus_decides_by_its_own_images_and_stores_the_figures(corpus):
    card = opened(corpus).cards.card
    assert card.probe["precision_images"] == 5
    faster = card.probe["bf16_images_per_second"] >= FASTER * card.probe["fp32_images_per_second"]
    assert (card.precision == "bf16") == (faster and card.probe["precision_cosine"] >= CLOSE)
    for file in (*corpus[0].iterdir(), corpus[1] / "model.safetensors"):
        file.unlink()  # a stored card needs neither images nor weights
    again = opened(corpus).cards.card
    assert (again, again.probe) == (card, card.probe)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_another_machine_computes_as_the_stored_card_says(corpus, precision):
    first = opened(corpus)
    assert first.cards.card.precision in ("fp32", "bf16")
    (stored,) = (corpus[0].parent / "state" / "models").glob("*.json")
    stored.write_text(json.dumps(json.loads(stored.read_text()) | {"precision": precision}))
    model = opened(corpus).target.model()
    assert model.card.precision == precision
    assert next(model._network.parameters()).dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def test_only_a_corpus_beginning_is_read(corpus):
    for number in range(TRIED):
        (corpus[0] / f"0-more-{number}.jpg").write_bytes(b"no image")
    card = opened(corpus).cards.card
    assert (card.precision, card.probe) == ("fp32", {})


def test_weights_that_changed_since_are_refused(corpus):
    assert opened(corpus).cards.card
    tiny.save_vit(corpus[1], pooler=False)
    with pytest.raises(TerminalError, match="is no longer the model of this checkpoint: weights was"):
        opened(corpus).target.model()
