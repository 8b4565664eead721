"""SigLIP, SigLIP 2 and Chinese-CLIP against the plain transformers call; what a clip: reference can't be."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    SiglipImageProcessor,
    ViTImageProcessor,
)

from pinery.errors import ConfigError
from pinery.models import registry
from pinery.target_settings import ModelSettings
from tests.models import tiny

TEXTS = ["a frog", "a red frog on a leaf", "frog leaf " * 30]
SAVED = {"siglip": tiny.save_siglip, "siglip2": tiny.save_siglip2, "chinese_clip": tiny.save_chinese_clip}
PADDING = {"siglip": "max_length", "siglip2": "max_length", "chinese_clip": True}


@pytest.fixture(scope="module", params=SAVED)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    return SAVED[kind](tmp_path_factory.mktemp("models") / kind)


@pytest.fixture(scope="module")
def model(folder):
    return registry.load(ModelSettings(name=f"clip:{folder}"))


def test_images_are_those_of_the_plain_call(model, folder, picture):
    network, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        plain = network.get_image_features(**processor(picture, return_tensors="pt")).pooler_output.numpy()
    found = model.embed(model.preprocess(picture)[None])
    assert found.shape == plain.shape == (1, model.card.dimension)
    assert found.dtype == np.float32
    assert np.linalg.norm(plain) > 0.1
    assert np.abs(found - plain).max() < 1e-5


def test_texts_are_those_of_the_plain_call_padded_as_the_model_was_trained(model, folder, kind):
    network, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(TEXTS, padding=PADDING[kind], truncation=True, return_tensors="pt")
    with torch.inference_mode():
        plain = network.get_text_features(**tokens).pooler_output.numpy()
    found = model.embed_text(TEXTS)
    assert found.shape == plain.shape == (3, model.card.dimension)
    assert np.abs(found - plain).max() < 1e-5
    assert np.abs(plain[0] - plain[1]).max() > 0.01
    assert np.abs(model.embed_text(TEXTS[:1]) - plain[:1]).max() < 1e-5, "the others' lengths must not matter"


def test_the_card_names_its_processor(model, folder, kind):
    assert model.card.name == f"clip:{kind}"
    assert model.card.layer.startswith("image projection, config ")
    assert json.loads(model.card.preprocessing)["processor"].endswith("ImageProcessor")
    assert registry.load(ModelSettings(name=f"clip:{folder}/"), model.card).card.key == model.card.key


def test_another_preprocessing_is_another_key(tmp_path):
    folder = tiny.save_siglip(tmp_path / "siglip")
    first = registry.load(ModelSettings(name=f"clip:{folder}")).card
    SiglipImageProcessor(size=tiny.SQUARE, image_mean=[0.4, 0.4, 0.4]).save_pretrained(folder)
    assert registry.load(ModelSettings(name=f"clip:{folder}")).card.key != first.key


def test_a_model_of_images_alone_or_of_texts_alone_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="type 'vit', which embeds no texts beside images; use `hf:`"):
        registry.load(ModelSettings(name=f"clip:{tiny.save_vit(tmp_path / 'vit')}"))
    bert = BertModel(BertConfig(**tiny.LAYERS, vocab_size=30, max_position_embeddings=16))
    tiny.save(tmp_path / "bert", bert, ViTImageProcessor())
    with pytest.raises(ConfigError, match="type 'bert'"):
        registry.load(ModelSettings(name=f"clip:{tmp_path / 'bert'}"))
    with pytest.raises(ConfigError, match="type 'bert', which takes no images"):
        registry.load(ModelSettings(name=f"hf:{tmp_path / 'bert'}"))


def test_images_that_would_come_in_many_shapes_are_refused(tmp_path):
    folder = tiny.save_siglip(tmp_path / "siglip")
    SiglipImageProcessor(size={"shortest_edge": 32}).save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"\(3, 32, 42\) and \(3, 53, 32\)"):
        registry.load(ModelSettings(name=f"clip:{folder}"))


def test_code_in_a_repo_is_never_run(tmp_path):
    folder = tiny.save_vit(tmp_path / "vit")
    (folder / "evil.py").write_text("raise SystemExit('run')\nclass Config: ...\nclass Model: ...\n")
    codes = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    copy = tiny.without(folder, tmp_path / "copy", "auto_map", codes)
    assert registry.load(ModelSettings(name=f"hf:{copy}")).card.dimension == 32
    unknown = tiny.without(copy, tmp_path / "unknown", "model_type", "evil")
    with pytest.raises(ConfigError, match="can't be loaded as a model of type 'evil'"):
        registry.load(ModelSettings(name=f"hf:{unknown}"))
