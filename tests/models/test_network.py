"""With every torch network a vector doesn't depend on its batch, and bf16 is close to fp32."""

import numpy as np
import pytest
import torch

from pinery.errors import ConfigError
from pinery.models import registry
from pinery.target_settings import ModelSettings
from tests.models import tiny
from tests.models.pictures import pictures, units
from tests.small_models import save_clip, squeezenet_weights

TINY = {
    "clip": save_clip,
    "siglip": tiny.save_siglip,
    "chinese_clip": tiny.save_chinese_clip,
    "dinov2": tiny.save_dinov2,
    "vit": tiny.save_vit,
    "convnext": tiny.save_convnext,
    "swin": tiny.save_swin,
}
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
KINDS = [pytest.param("squeezenet", marks=pytest.mark.slow), *TINY]


@pytest.fixture(scope="module", params=KINDS)
def settings(request, tmp_path_factory):
    """The settings of one model, in fp32 on the CPU."""
    folder = tmp_path_factory.mktemp("models")
    if request.param == "squeezenet":
        given = squeezenet_weights(folder)
        return ModelSettings(**given | {"name": f"{given['name']}#features"}, device="cpu")
    family = "clip" if "clip" in request.param or request.param == "siglip" else "hf"
    path = TINY[request.param](folder / request.param)
    return ModelSettings(name=f"{family}:{path}", device="cpu", precision="fp32")


def in_batches(model, images, size):
    return units(np.concatenate([model.embed(batch) for batch in images.split(size)]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_vector_is_the_same_alone_in_a_batch_of_7_and_of_256(settings, precision, device):
    model = registry.load(settings.model_copy(update={"precision": precision, "device": device}))
    assert model.card.precision == precision
    images = torch.stack([model.preprocess(picture) for picture in pictures(256)])
    together = in_batches(model, images, 256)
    for size in (1, 7):
        found = in_batches(model, images[:14], size)
        assert (1 - (found * together[:14]).sum(axis=1)).max() < 1e-4
        assert ((found @ together.T).argmax(axis=1) == np.arange(14)).all(), "images too alike to tell"


def test_bf16_is_close_to_fp32_and_another_model(settings):
    exact, lower = (registry.load(settings.model_copy(update={"precision": p})) for p in ("fp32", "bf16"))
    images = torch.stack([exact.preprocess(picture) for picture in pictures(8)])
    assert (units(exact.embed(images)) * units(lower.embed(images))).sum(axis=1).min() > 0.99
    assert exact.card.key != lower.card.key


def test_texts_in_bf16_are_close_to_those_in_fp32(tmp_path):
    name = f"clip:{save_clip(tmp_path / 'clip')}"
    exact, lower = (registry.load(ModelSettings(name=name, precision=p, device="cpu")) for p in ("fp32", "bf16"))
    texts = ["a frog", "a red frog"]
    assert (units(exact.embed_text(texts)) * units(lower.embed_text(texts))).sum(axis=1).min() > 0.99


def test_weights_and_images_are_laid_out_channels_last(settings):
    model = registry.load(settings)
    seen = []
    network = next(layer for layer in model._network.modules() if isinstance(layer, torch.nn.Conv2d))
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.embed(torch.stack([model.preprocess(picture) for picture in pictures(2)]))
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_a_device_that_is_not_there_is_named(settings):
    with pytest.raises(ConfigError, match="device 'cuda:99' is not there"):
        registry.load(settings.model_copy(update={"device": "cuda:99"}))
