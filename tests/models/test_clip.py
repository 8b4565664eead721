"""CLIP models against the plain transformers call, with a tiny CLIP that the test saves as a real one is saved."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from pinery.errors import BadImageError, ConfigError, TerminalError
from pinery.models import registry
from pinery.models.weights import file_sha256
from pinery.target_settings import ModelSettings
from tests.small_models import save_clip

TEXTS = ["a frog", "a red frog on a leaf and a leaf on a frog", "frog " * 50]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture(scope="module")
def model(folder):
    return registry.load(ModelSettings(name=f"clip:{folder}"))


def plain(folder, picture):
    network, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    texts = processor(text=TEXTS, return_tensors="pt", padding=True, truncation=True, max_length=16)
    with torch.inference_mode():
        images = network.get_image_features(**processor(images=picture, return_tensors="pt"))
        return images.pooler_output.numpy(), network.get_text_features(**texts).pooler_output.numpy()


def test_images_and_texts_are_those_of_the_plain_call(model, folder, picture):
    images, texts = plain(folder, picture)
    found = model.embed(model.preprocess(picture)[None])
    assert found.shape == images.shape == (1, 24) == (1, model.card.dimension)
    assert found.dtype == np.float32
    assert np.abs(found - images).max() < 1e-5
    assert model.embed_text(TEXTS).shape == texts.shape == (3, 24)
    assert np.abs(model.embed_text(TEXTS) - texts).max() < 1e-5


def test_the_card_of_a_folder(model, folder):
    card = model.card
    assert card.name == "clip:tiny-clip"
    assert card.weights == file_sha256(folder / "model.safetensors")
    assert (card.revision, card.normalise, card.precision) == ("", False, "fp32")
    assert card.layer.startswith("image projection, config ")
    preprocessing = json.loads(card.preprocessing)
    assert preprocessing["crop_size"] == {"height": 32, "width": 32}
    assert preprocessing["size"] == {"shortest_edge": 40}


def test_moving_a_folder_keeps_the_key(model, folder, tmp_path):
    copy = tmp_path / "elsewhere" / "tiny-clip"
    copy.mkdir(parents=True)
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert registry.load(ModelSettings(name=f"clip:{copy}")).card.key == model.card.key


def test_the_expected_sum_is_checked(folder, model):
    good = ModelSettings(name=f"clip:{folder}", sha256=model.card.weights)
    assert registry.load(good).card == model.card
    with pytest.raises(ConfigError, match=f"have SHA-256 {model.card.weights}, but {'0' * 64} is expected"):
        registry.load(ModelSettings(name=f"clip:{folder}", sha256="0" * 64))


def test_folders_that_hold_no_clip_model(folder, tmp_path):
    def attempt(change, reason):
        copy = tmp_path / str(len(list(tmp_path.iterdir())))
        copy.mkdir()
        for file in folder.iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        change(copy)
        with pytest.raises(ConfigError, match=reason):
            registry.load(ModelSettings(name=f"clip:{copy}")).embed_text(["a frog"])

    attempt(lambda f: (f / "model.safetensors").unlink(), "holds no weights")
    attempt(lambda f: (f / "model.safetensors").write_bytes(b"\x08\0\0\0"), "can't be loaded as a model of type 'clip'")
    attempt(lambda f: (f / "config.json").write_text('{"model_type": "nonsense"}'), "a model of type 'nonsense'")
    attempt(lambda f: (f / "config.json").unlink(), "no readable config.json")
    attempt(lambda f: (f / "preprocessor_config.json").unlink(), "no image processor")
    attempt(lambda f: [(f / n).unlink() for n in ("vocab.json", "tokenizer.json") if (f / n).exists()], "no tokenizer")
    with pytest.raises(ConfigError, match="does not exist"):
        registry.load(ModelSettings(name=f"clip:{tmp_path}/none"))


def test_missing_weights_are_never_made_up(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(folder / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 1 weights of CLIPModel: visual_projection\.weight"):
        registry.load(ModelSettings(name=f"clip:{tmp_path}"))


def cached_repo(cache, folder, commit):
    """`folder` as the commit of a repo in the Hub's cache, `main` pointing at it."""
    repo = cache / "models--someone--tiny-clip"
    (repo / "refs").mkdir(parents=True, exist_ok=True)
    (repo / "refs" / "main").write_text(commit)
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())


def test_a_repo_from_the_cache_and_pinned_by_its_card(no_network, folder, tmp_path, model, picture):
    cached_repo(no_network, folder, "a" * 40)
    first = registry.load(ModelSettings(name="clip:someone/tiny-clip"))
    assert (first.card.name, first.card.revision) == ("clip:someone/tiny-clip", "a" * 40)
    assert first.card.layer == "image projection"
    images = first.preprocess(picture)[None]
    assert (first.embed(images) == model.embed(images)).all()

    cached_repo(no_network, save_clip(tmp_path / "newer", seed=1), "b" * 40)
    assert registry.load(ModelSettings(name="clip:someone/tiny-clip")).card.revision == "b" * 40
    assert registry.load(ModelSettings(name="clip:someone/tiny-clip"), first.card).card == first.card


@pytest.mark.parametrize(("family", "repo"), [("clip", "openai/clip"), ("hf", "facebook/dinov2-small")])
def test_without_cache_and_network_it_says_what_to_put_where(no_network, family, repo):
    with pytest.raises(TerminalError, match=f"`hf download {repo}`") as caught:
        registry.load(ModelSettings(name=f"{family}:{repo}"))
    for words in (str(no_network), f"models--{repo.replace('/', '--')}", f"{family}:<folder>"):
        assert words in str(caught.value)


def test_names_that_are_no_repo_and_own_weights_are_refused(no_network):
    with pytest.raises(ConfigError, match="has no 'a/b/c/d'"):
        registry.load(ModelSettings(name="clip:a/b/c/d"))
    with pytest.raises(ConfigError, match="name a folder instead"):
        registry.load(ModelSettings(name="clip:openai/clip", weights="/a/file", sha256="0" * 64))


def test_elongated_pictures_are_refused(model):
    with pytest.raises(BadImageError, match="too elongated"):
        model.preprocess(Image.new("RGB", (2_000_000, 1)))
