"""References, their one spelling, and the way from a reference to a loaded model."""

import dataclasses
import subprocess
import sys

import pytest

from pinery.errors import ConfigError, TerminalError
from pinery.models import registry
from pinery.models.registry import FAMILIES, Reference, parse
from pinery.target_settings import ModelSettings


@pytest.mark.parametrize(
    ("text", "reference", "canonical"),
    [
        ("descriptor", Reference("descriptor"), "descriptor"),
        ("torchvision:resnet50", Reference("torchvision", "resnet50"), "torchvision:resnet50"),
        (
            "torchvision:ResNet50@ResNet50_Weights.IMAGENET1K_V2#features",
            Reference("torchvision", "resnet50", "IMAGENET1K_V2", "features"),
            "torchvision:resnet50@IMAGENET1K_V2#features",
        ),
        ("torchvision:vgg16#logits", Reference("torchvision", "vgg16"), "torchvision:vgg16"),
        ("clip:openai/clip-vit-base-patch32", Reference("clip", "openai/clip-vit-base-patch32"), None),
        ("clip:/models/my clip", Reference("clip", "/models/my clip"), None),
        ("hf:facebook/dinov2-base", Reference("hf", "facebook/dinov2-base"), None),
    ],
)
def test_references(text, reference, canonical):
    assert parse(text) == reference
    assert str(reference) == (canonical or text)
    assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("descriptr", "`descriptor`"),
        ("resnet50", "`torchvision:resnet50`"),
        ("squeezenet1_1", "`torchvision:squeezenet1_1`"),
        ("torchvison:vgg16", "`torchvision:vgg16`"),
        ("torchvision:vgg16#feature", "`torchvision:vgg16#features`"),
        ("resnet50#feature", "`torchvision:resnet50#features`"),
        ("resnet50@IMAGENET1K_V2#Features", "`torchvision:resnet50@IMAGENET1K_V2#features`"),
        ("torchvison:resnet18#logit", "`torchvision:resnet18#logits`"),
        ("torchvision:vgg16#pool", "`torchvision:vgg16`"),
        ("clp:openai/clip-vit-base-patch32", "`clip:openai/clip-vit-base-patch32`"),
    ],
)
def test_an_unknown_reference_names_the_nearest(text, nearest):
    with pytest.raises(ConfigError, match="did you mean") as caught:
        parse(text)
    assert nearest in str(caught.value)


@pytest.mark.parametrize("text", ["", "clip:", "hf:", "torchvision:", "zzzzzzzz"])
def test_a_hopeless_reference_gets_the_list(text):
    with pytest.raises(ConfigError, match=r"torchvision:<name>\[@weights\]\[#features\]"):
        parse(text)


def test_each_family_has_a_row_and_a_module():
    assert [row.name for row in FAMILIES] == ["descriptor", "torchvision", "clip", "hf"]
    assert [row.name for row in FAMILIES if row.text] == ["clip"]
    assert len({row.module for row in FAMILIES}) == len(FAMILIES)


def test_importing_the_registry_imports_no_torch():
    code = "import sys, pinery.models.registry; print([m for m in ('torch', 'torchvision', 'PIL') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_stored_card_must_be_met():
    card = registry.load(ModelSettings(name="descriptor")).card
    assert registry.load(ModelSettings(name="descriptor"), card).card == card
    other = dataclasses.replace(card, layer="colour+edges v0")
    with pytest.raises(TerminalError, match="layer was 'colour\\+edges v0' and is 'colour\\+edges v1'"):
        registry.load(ModelSettings(name="descriptor"), other)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cuda:99"}, "is not there"),
        ({"precision": "bf16"}, "fp32 only"),
        ({"weights": "/a/file", "sha256": "0" * 64}, "has no weights"),
    ],
)
def test_settings_that_do_not_fit(options, reason):
    with pytest.raises(ConfigError, match=reason):
        registry.load(ModelSettings(name="descriptor", **options))
