"""Image models of transformers against the plain call, and which of their outputs is the vector."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, SegformerConfig, SegformerModel, ViTImageProcessor

from pinery.errors import BadImageError, ConfigError
from pinery.models import registry
from pinery.models.weights import file_sha256
from pinery.target_settings import ModelSettings
from tests.models import tiny
from tests.small_models import save_clip

SAVED = {"dinov2": tiny.save_dinov2, "vit": tiny.save_vit, "convnext": tiny.save_convnext, "swin": tiny.save_swin}


def plain(folder, picture):
    network, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        return network(**processor(picture, return_tensors="pt"))


@pytest.mark.parametrize("kind", SAVED)
def test_the_vector_is_the_pooled_output_of_the_plain_call(kind, tmp_path, picture):
    folder = SAVED[kind](tmp_path / kind)
    model = registry.load(ModelSettings(name=f"hf:{folder}"))
    expected = plain(folder, picture).pooler_output.numpy()
    found = model.embed(model.preprocess(picture)[None])
    assert found.shape == expected.shape == (1, 32) == (1, model.card.dimension)
    assert found.dtype == np.float32
    assert np.linalg.norm(expected) > 0.1
    assert np.abs(found - expected).max() < 1e-5
    assert model.card.name == f"hf:{kind}"
    assert model.card.layer.startswith("pooled output, config ")
    assert model.card.weights == file_sha256(folder / "model.safetensors")
    assert registry.load(ModelSettings(name=f"hf:{folder}"), model.card).card.key == model.card.key


def test_without_weights_for_pooling_it_is_the_cls_token(tmp_path, picture):
    folder = tiny.save_vit(tmp_path / "vit", pooler=False)
    model = registry.load(ModelSettings(name=f"hf:{folder}"))
    expected = plain(folder, picture).last_hidden_state[:, 0].numpy()
    assert np.abs(model.embed(model.preprocess(picture)[None]) - expected).max() < 1e-5
    assert model.card.layer.startswith("CLS token, config ")
    again = registry.load(ModelSettings(name=f"hf:{folder}"), model.card)
    assert (again.embed(again.preprocess(picture)[None]) == model.embed(model.preprocess(picture)[None])).all()


def test_a_model_that_defines_no_vector_is_refused(tmp_path):
    options = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 1, 1]}
    network = SegformerModel(SegformerConfig(**options, decoder_hidden_size=16))
    folder = tiny.save(tmp_path / "segformer", network, ViTImageProcessor(size={"height": 64, "width": 64}))
    with pytest.raises(ConfigError, match="type 'segformer', which has neither a pooled output nor a CLS token"):
        registry.load(ModelSettings(name=f"hf:{folder}"))


def test_dual_encoders_texts_and_elongated_pictures_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="a dual encoder of type 'clip'; name it as a clip: model"):
        registry.load(ModelSettings(name=f"hf:{save_clip(tmp_path / 'clip')}"))
    model = registry.load(ModelSettings(name=f"hf:{tiny.save_dinov2(tmp_path / 'dinov2')}"))
    with pytest.raises(ConfigError, match="no text tower; use `image` or a clip: model"):
        model.embed_text(["a frog"])
    with pytest.raises(BadImageError, match="too elongated"):
        model.preprocess(Image.new("RGB", (2_000_000, 1)))
    with pytest.raises(ConfigError, match="`hf:<folder>`"):
        registry.load(ModelSettings(name="hf:a/b", weights="/a/file", sha256="0" * 64))
    with pytest.raises(ConfigError, match="does not exist"):
        registry.load(ModelSettings(name=f"hf:{tmp_path}/none"))
