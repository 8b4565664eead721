"""Weights are found, or it is said how they would come; nothing is downloaded for that."""

import hashlib

import pytest
import torch

from pinery.errors import ConfigError
from pinery.models.presence import presence
from pinery.models.weights import cache_folder, file_sha256
from pinery.target_settings import ModelSettings
from tests.models import tiny

SUM = hashlib.sha256(b"weights").hexdigest()
pytestmark = pytest.mark.usefixtures("no_network")


def test_the_built_in_model_needs_none():
    assert presence(ModelSettings(name="descriptor"), None).here


def test_torchvisions_own_weights_are_looked_for_in_torchs_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    settings = ModelSettings(name="torchvision:squeezenet1_1")
    absent = presence(settings, None)
    assert not absent.here
    assert "the first run downloads https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth" in absent.found
    assert f"{tmp_path}/torch/checkpoints/squeezenet1_1-b8a52dc0.pth" in absent.advice
    place = tmp_path / "torch" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"weights")
    found = presence(settings, None)
    assert (found.here, str(place) in found.found) == (True, True)
    assert "expected SHA-256" in presence(settings.model_copy(update={"sha256": SUM}), None).found
    with pytest.raises(ConfigError, match=f"have SHA-256 {SUM}, but 0000"):
        presence(settings.model_copy(update={"sha256": "0" * 64}), None)


def test_a_weights_file_of_ones_own_is_compared_with_its_sum(tmp_path, monkeypatch):
    path = tmp_path / "own.pth"
    settings = ModelSettings(name="torchvision:squeezenet1_1", weights=str(path), sha256=SUM)
    with pytest.raises(ConfigError, match=r"own.pth does not exist"):
        presence(settings, None)
    path.write_bytes(b"weights")
    assert presence(settings, None).here
    path.write_bytes(b"others")
    with pytest.raises(ConfigError, match=f"but the settings expect {SUM}"):
        presence(settings, None)


def test_weights_at_an_address_are_looked_for_in_the_cache(monkeypatch):
    address = "https://me:hidden@example.org/w.pth?signature=hidden"
    settings = ModelSettings(name="torchvision:squeezenet1_1", weights="$OWN_WEIGHTS", sha256=SUM)
    with pytest.raises(ConfigError, match="OWN_WEIGHTS, which is not set"):
        presence(settings, None)
    monkeypatch.setenv("OWN_WEIGHTS", address)
    absent = presence(settings, None)
    assert (absent.here, absent.found) == (False, "not here yet: the first run downloads https://example.org/w.pth")
    cache_folder().mkdir(parents=True)
    (cache_folder() / SUM).write_bytes(b"weights")
    assert presence(settings, None).here
    (cache_folder() / SUM).write_bytes(b"cut")
    assert "damaged" in presence(settings, None).found


def test_a_folder_of_transformers_is_looked_at(tmp_path):
    folder = tiny.save_vit(tmp_path / "vit")
    settings = ModelSettings(name=f"hf:{folder}")
    assert presence(settings, None).here
    right = file_sha256(folder / "model.safetensors")
    assert presence(settings.model_copy(update={"sha256": right}), None).here
    with pytest.raises(ConfigError, match="is expected"):
        presence(settings.model_copy(update={"sha256": SUM}), None)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="holds no weights"):
        presence(settings, None)
    with pytest.raises(ConfigError, match="does not exist"):
        presence(ModelSettings(name=f"hf:{tmp_path}/none"), None)
    with pytest.raises(ConfigError, match="`weights` doesn't go with a clip: model"):
        presence(ModelSettings(name="clip:a/b", weights="/x", sha256=SUM), None)


def test_a_repo_of_the_hub_is_looked_for_in_its_cache_alone():
    absent = presence(ModelSettings(name="clip:openai/clip-vit-base-patch32"), None)
    assert not absent.here
    assert absent.found == "not here yet: the first run downloads openai/clip-vit-base-patch32 from huggingface.co"
    assert absent.advice == "`hf download openai/clip-vit-base-patch32` fetches it ahead"
    with pytest.raises(ConfigError, match="no name of a repo"):
        presence(ModelSettings(name="clip:a b/c/d"), None)


def test_an_unknown_model_is_named():
    with pytest.raises(ConfigError, match="did you mean"):
        presence(ModelSettings(name="torchvision:squeezenet1_2"), None)
