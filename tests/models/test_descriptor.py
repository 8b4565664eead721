"""The built-in descriptor: its contract, and that it tells pictures apart as a person would."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from pinery.errors import ConfigError
from pinery.models import registry
from pinery.models.descriptor import DIMENSION, Descriptor
from pinery.target_settings import ModelSettings

MODEL = Descriptor()
KEY = "cc7a68cf23"
TRIANGLE = {118: 0.53736, 310: 0.36087, 117: 0.24408, 500: 0.17686, 492: 0.17686}


def vectors(*images):
    return MODEL.embed(torch.stack([MODEL.preprocess(image) for image in images]))


def shape(form, colour, background="white", box=(60, 60, 140, 140), size=(200, 200)):
    image = Image.new("RGB", size, background)
    getattr(ImageDraw.Draw(image), form)(box, fill=colour)
    return image


def test_vectors_are_512_numbers_of_length_one():
    found = vectors(shape("ellipse", "red"), shape("rectangle", "blue"))
    assert found.shape == (2, 512) == (2, DIMENSION)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_alone_or_in_a_batch_makes_no_difference():
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).resize((90, 70)) for _ in range(33)]
    together = vectors(*images)
    for number in (0, 16, 32):
        assert np.abs(vectors(images[number])[0] - together[number]).max() < 1e-5
    assert (vectors(*images) == together).all()


@pytest.mark.parametrize("colour", ["black", "white", "gray", "red", (10, 200, 30)])
@pytest.mark.parametrize("size", [(1, 1), (500, 3), (64, 64)])
def test_flat_pictures_of_any_size_have_finite_vectors(colour, size):
    found = vectors(Image.new("RGB", size, colour))
    assert np.isfinite(found).all()
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_size_does_not_matter_much():
    small = shape("ellipse", "red", box=(30, 30, 70, 70), size=(100, 100))
    large = shape("ellipse", "red", box=(240, 240, 560, 560), size=(800, 800))
    first, second = vectors(small, large)
    assert first @ second > 0.97


def test_the_object_counts_more_than_what_it_stands_on():
    query = shape("ellipse", "orange", "white")
    moved = shape("ellipse", "orange", "navy", box=(20, 40, 110, 130))
    same_background = shape("ellipse", "teal", "white")
    a, b, c = vectors(query, moved, same_background)
    assert a @ b > a @ c


def test_edges_tell_forms_of_one_colour_apart():
    bars = Image.new("RGB", (96, 96), "white")
    for x in range(16, 80, 16):
        ImageDraw.Draw(bars).rectangle((x, 16, x + 7, 79), fill="black")
    a, b, c = vectors(bars, bars.resize((80, 80)), bars.rotate(90))
    assert a @ b > a @ c + 0.05


def test_texts_are_refused_with_a_way_out():
    with pytest.raises(ConfigError, match="no text tower; use `image` or a clip: model"):
        MODEL.embed_text(["a frog"])


def test_the_card_says_all_and_the_key_is_pinned():
    card = registry.load(ModelSettings(name="descriptor")).card
    assert (card.name, card.weights, card.dimension, card.normalise) == ("descriptor", "none", 512, True)
    assert card.key == KEY, "vectors changed? raise VERSION, then the key here"


def test_the_vectors_of_this_version_are_pinned():
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).polygon([(10, 50), (32, 8), (54, 50)], fill=(200, 80, 30))
    found = vectors(image)[0]
    assert {place: found[place] for place in TRIANGLE} == pytest.approx(TRIANGLE, abs=1e-4)
