"""torchvision models against the plain torchvision script, with small random weights saved to a file."""

import hashlib
import re

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from pinery.errors import BadImageError, ConfigError, TerminalError
from pinery.models import registry
from pinery.models.pixels import Pixels
from pinery.models.torchvision import names
from pinery.target_settings import ModelSettings

BUILD_OPTIONS = {"inception_v3": {"init_weights": False, "transform_input": True}}


def saved(path, network, wrap=False):
    torch.save({"state_dict": network.state_dict()} if wrap else network.state_dict(), path)
    return {"weights": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def network_of(name, **options):
    """A random network whose batch norms have seen images, or its activations would fade to nothing."""
    torch.manual_seed(1)
    network = torchvision.models.get_model(name, weights=None, **BUILD_OPTIONS.get(name, {}), **options)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(2, 3, 299, 299))
    return network.eval()


def plain(network, name, picture):
    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    with torch.inference_mode():
        logits = network(transforms(picture)[None]).numpy()
    assert np.ptp(logits) > 0.05, "logits too alike to compare"
    return logits


def embedded(model, picture):
    return model.embed(model.preprocess(picture)[None])


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory):
    network = network_of("squeezenet1_1")
    return network, saved(tmp_path_factory.mktemp("weights") / "squeezenet.pth", network)


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "inception_v3"])
def test_logits_are_those_of_the_plain_script(name, tmp_path, picture):
    network = network_of(name)
    model = registry.load(ModelSettings(name=f"torchvision:{name}", **saved(tmp_path / "w.pth", network, wrap=True)))
    found = embedded(model, picture)
    assert found.shape == (1, 1000) == (1, model.card.dimension)
    assert found.dtype == np.float32
    expected = plain(network, name, picture)
    assert np.abs(found - expected).max() < 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_v2_s", "vit_b_16", "inception_v3"])
@pytest.mark.parametrize("size", [(224, 224), (256, 256), (333, 500), (480, 640), (640, 480), (1000, 61), (5, 7)])
def test_pixels_are_those_of_torchvisions_transforms_bit_for_bit(name, size):
    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    noise = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    pixels = Pixels(transforms)
    found = pixels(picture)
    assert found.dtype == torch.uint8
    expected = transforms(picture)
    several = torch.stack([found.flip(0), found])
    for dtype in (torch.float32, torch.bfloat16):
        values = pixels.normalised(several, dtype)
        assert torch.equal(values[1], expected.to(dtype))
        assert torch.equal(values[0], pixels.normalised(found.flip(0)[None].contiguous(), dtype)[0])


FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg11",
    "vit_b_32",
    "wide_resnet50_2",
]


def test_every_architecture_family_is_tested():
    def family(name):
        return torchvision.models.get_model_builder(name).__module__, re.match("[a-z]+", name).group()

    assert {family(name) for name in names()} <= {family(name) for name in FAMILIES}


QUICK = {"mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0"}
"""Small networks, one of each form of last layer: in a sequence, alone, and as a convolution."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_features_are_what_the_last_layer_sees(name, tmp_path, picture):
    torch.manual_seed(2)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=7, **options).eval()
    kind = torch.nn.Conv2d if name.startswith("squeezenet") else torch.nn.Linear
    head = [layer for layer in network.modules() if isinstance(layer, kind)][-1]
    torch.nn.init.normal_(head.weight)  # ViT's starts at zero
    weights = saved(tmp_path / "w.pth", network)
    logits, features, lower = (
        registry.load(ModelSettings(name=f"torchvision:{name}{layer}", device="cpu", precision=precision, **weights))
        for layer, precision in (("", "fp32"), ("#features", "fp32"), ("#features", "bf16"))
    )
    (tmp_path / "w.pth").unlink()
    expected, found = embedded(logits, picture), embedded(features, picture)
    assert (expected.shape, found.shape) == ((1, 7), (1, features.card.dimension))
    if kind is torch.nn.Linear:
        with torch.inference_mode():
            again = head(torch.from_numpy(found)).numpy()
        assert np.abs(again - expected).max() < 1e-4 * max(1, np.abs(expected).max())
    assert (found * embedded(lower, picture)).sum() > 0.99 * np.linalg.norm(found) * np.linalg.norm(
        embedded(lower, picture)
    )


def test_features_of_a_linear_head_are_its_input(tmp_path, picture):
    network = network_of("mobilenet_v3_small")
    settings = ModelSettings(name="torchvision:mobilenet_v3_small#features", **saved(tmp_path / "w.pth", network))
    model = registry.load(settings)
    found = embedded(model, picture)
    assert found.shape == (1, 1024) == (1, model.card.dimension)
    with torch.inference_mode():
        logits = network.classifier[3](torch.from_numpy(found)).numpy()
    assert np.abs(logits - plain(network, "mobilenet_v3_small", picture)).max() < 1e-5


def test_features_of_a_convolutional_head_are_its_pooled_input(squeezenet, picture):
    network, weights = squeezenet
    model = registry.load(ModelSettings(name="torchvision:squeezenet1_1#features", **weights))
    transforms = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    with torch.inference_mode():
        expected = network.features(transforms(picture)[None]).mean(dim=(2, 3)).numpy()
    assert model.card.dimension == 512
    assert np.abs(embedded(model, picture) - expected).max() < 1e-5
    assert model.card.name == "torchvision:squeezenet1_1#features"


def test_number_of_classes_comes_from_the_weights(tmp_path, picture):
    network = network_of("squeezenet1_1", num_classes=7)
    model = registry.load(ModelSettings(name="torchvision:squeezenet1_1", **saved(tmp_path / "w.pth", network)))
    assert model.card.dimension == 7
    assert np.abs(embedded(model, picture) - plain(network, "squeezenet1_1", picture)).max() < 1e-5


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An own, empty torch hub cache."""
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub" / "checkpoints"
    torch.hub._hub_dir = None


def put_into_hub(hub, monkeypatch, network):
    """The hub cache as after a download: a file named by its own SHA-256, by which torchvision's entry knows it."""
    hub.mkdir(parents=True)
    temporary = hub / "temporary"
    torch.save(network.state_dict(), temporary)
    name = f"squeezenet1_1-{hashlib.sha256(temporary.read_bytes()).hexdigest()[:8]}.pth"
    temporary.rename(hub / name)
    entry = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    monkeypatch.setattr(entry.value, "url", f"https://download.pytorch.org/models/{name}")
    return hub / name


def test_all_spellings_of_the_default_weights_give_one_key(squeezenet, hub, monkeypatch):
    put_into_hub(hub, monkeypatch, squeezenet[0])
    spellings = ("", "@DEFAULT", "@IMAGENET1K_V1", "@imagenet1k_v1", "@SqueezeNet1_1_Weights.IMAGENET1K_V1", "#logits")
    cards = {registry.load(ModelSettings(name=f"torchvision:squeezenet1_1{s}")).card for s in spellings}
    assert len(cards) == 1
    card = cards.pop()
    assert card.name == "torchvision:squeezenet1_1@IMAGENET1K_V1"
    assert card.layer == "logits"
    assert card.preprocessing == (
        "resize=[256] interpolation=bilinear antialias=True crop=[224] "
        "mean=[0.485, 0.456, 0.406] std=[0.229, 0.224, 0.225]"
    )
    assert registry.load(ModelSettings(name="torchvision:squeezenet1_1"), card).card == card


def test_a_damaged_cache_is_named(squeezenet, hub, monkeypatch):
    file = put_into_hub(hub, monkeypatch, squeezenet[0])
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(TerminalError, match="is damaged"):
        registry.load(ModelSettings(name="torchvision:squeezenet1_1"))


def test_without_cache_and_network_it_says_what_to_put_where(hub, monkeypatch):
    entry = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    monkeypatch.setattr(entry.value, "url", "http://127.0.0.1:1/squeezenet1_1-b8a52dc0.pth")
    with pytest.raises(TerminalError, match="could not be downloaded") as caught:
        registry.load(ModelSettings(name="torchvision:squeezenet1_1"))
    assert str(hub / "squeezenet1_1-b8a52dc0.pth") in str(caught.value)
    assert entry.url in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("torchvision:resnet5O", "did you mean 'resnet50'"),
        ("torchvision:resnet50@IMAGENET1K_V3", "it has IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT"),
    ],
)
def test_unknown_names_and_weights(name, reason):
    with pytest.raises(ConfigError, match=reason):
        registry.load(ModelSettings(name=name))


def test_weights_that_do_not_fit_name_some_keys(squeezenet, tmp_path):
    weights = squeezenet[1]
    with pytest.raises(
        ConfigError, match=r"does not fit resnet18: 122 missing: conv1.weight, .*; 52 unknown: features"
    ):
        registry.load(ModelSettings(name="torchvision:resnet18", **weights))
    state = squeezenet[0].state_dict()
    state["features.0.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "w.pth")
    settings = {
        "weights": str(tmp_path / "w.pth"),
        "sha256": hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest(),
    }
    with pytest.raises(ConfigError, match=r"1 shapes: features.0.bias is \(3,\) instead of \(64,\)"):
        registry.load(ModelSettings(name="torchvision:squeezenet1_1", **settings))


def test_texts_and_elongated_pictures_are_refused(squeezenet):
    model = registry.load(ModelSettings(name="torchvision:squeezenet1_1", **squeezenet[1]))
    with pytest.raises(ConfigError, match="no text tower; use `image` or a clip: model"):
        model.embed_text(["a frog"])
    with pytest.raises(BadImageError, match="too elongated"):
        model.preprocess(Image.new("RGB", (1, 60_000)))


def test_batch_size_is_as_set_or_by_device(squeezenet):
    assert registry.load(ModelSettings(name="torchvision:squeezenet1_1", batch=5, **squeezenet[1])).batch_size == 5
    assert (
        registry.load(ModelSettings(name="torchvision:squeezenet1_1", device="cpu", **squeezenet[1])).batch_size == 32
    )


def test_every_classification_model_is_offered():
    assert {"squeezenet1_1", "resnet50", "vit_b_16", "convnext_tiny", "efficientnet_v2_s"} <= set(names())
    assert not [name for name in names() if "mask" in name or "quantized" in name]
