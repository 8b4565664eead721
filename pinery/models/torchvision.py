"""Every classification model of torchvision: its logits, or with `#features` the input of its last layer."""

import difflib
import re
import urllib.error
from pathlib import Path
from typing import Any, cast

import torch
import torchvision
from torch import Tensor, nn
from torch.hub import HASH_REGEX

from pinery.errors import ConfigError, TerminalError
from pinery.models.device import resolve_decoder, resolve_precision
from pinery.models.network import TorchModel
from pinery.models.pixels import Pixels
from pinery.models.reference import Reference
from pinery.models.weights import fetch_weights, file_sha256, read_state_dict
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings

AUXILIARY = re.compile(r"aux\d?\.|AuxLogits\.")
OLD_DENSENET_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d\.)")
NAMED_KEYS = 3
"""The most keys of a kind that an error names."""


def names() -> list[str]:
    """Return the names of all classification models of the installed torchvision."""
    return cast(list[str], torchvision.models.list_models(module=torchvision.models))


def refuse_unknown(reference: Reference) -> None:
    """Raise ConfigError where torchvision doesn't have the model or its weights."""
    _entry(reference, None)


def load(reference: Reference, settings: ModelSettings, card: ModelCard | None = None) -> TorchModel:
    """Return the model with its weights, on the device of the settings.

    Raises ConfigError where the name or the weights entry is unknown, or the weights are not the expected ones;
    TerminalError where torchvision's weights can't be downloaded; and whatever `fetch_weights` raises for a weights
    file of the user's own.
    """
    entry = _entry(reference, card)
    path, name, sha256 = _weights(reference, settings, entry)
    network, head = _build(reference.name, read_state_dict(path), path)
    transforms = entry.transforms()
    features = reference.layer == "features"
    card = ModelCard(
        name=f"{name}#features" if features else name,
        weights=sha256,
        revision="",
        layer="features" if features else "logits",
        preprocessing=_described(transforms),
        decoder=resolve_decoder(settings),
        precision=resolve_precision(settings),
        normalise=False,
        dimension=_width(network.get_submodule(head), features),
    )
    if features:
        # Nothing after the last layer changes its input, except that SqueezeNet averages the map of its convolution.
        network.set_submodule(head, nn.Identity())
    pixels, side = Pixels(transforms), max(transforms.resize_size)
    return TorchModel(
        network,
        pixels,
        card,
        settings,
        resize_side=side,
        centre_crop=pixels.centre_crop,
        finish=pixels.resized,
        normalise=pixels.normalised,
    )


def _entry(reference: Reference, card: ModelCard | None) -> Any:
    """Return the weights entry that the reference names, else the card's, else torchvision's default."""
    if reference.name not in (known := names()):
        nearest = difflib.get_close_matches(reference.name, known, n=1, cutoff=0)[0]
        raise ConfigError(f"torchvision has no classification model {reference.name!r}; did you mean {nearest!r}?")
    entries = torchvision.models.get_model_weights(reference.name)
    stored = re.search(r"@(\w+)", card.name) if card else None
    wanted = reference.weights or (stored.group(1) if stored else "DEFAULT")
    match = {name.upper(): entry for name, entry in entries.__members__.items()}.get(wanted.upper())
    if match is None:
        raise ConfigError(f"{reference.name} has no weights {wanted!r}; it has {', '.join(entries.__members__)}")
    return match


def _weights(reference: Reference, settings: ModelSettings, entry: Any) -> tuple[Path, str, str]:
    """Return the file of the weights, the model's name with these weights, and their SHA-256."""
    name = f"torchvision:{reference.name}"
    if settings.weights is not None:
        # The sum says which weights these are; the entry stands in the card by its preprocessing.
        sha256 = settings.sha256 or ""
        return fetch_weights(settings.weights, sha256), name, sha256
    path, name = _cached(entry), f"{name}@{entry.name}"
    sha256 = file_sha256(path)
    _check_prefix(path, sha256, entry.url)
    if settings.sha256 not in (None, sha256):
        raise ConfigError(f"the weights of {name} have SHA-256 {sha256}, but {settings.sha256} is expected")
    return path, name, sha256


def cached_weights(reference: Reference, card: ModelCard | None) -> tuple[Path, str]:
    """Return where torchvision's own weights are in torch's cache, or would be, and where they come from."""
    entry = _entry(reference, card)
    return _place(entry), str(entry.url)


def _place(entry: Any) -> Path:
    place: Path = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
    return place


def _cached(entry: Any) -> Path:
    """Return the file of torchvision's own weights in torch's cache, downloaded if need be."""
    path = _place(entry)
    if path.is_file():
        return path
    prefix = HASH_REGEX.search(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(entry.url, str(path), prefix.group(1) if prefix else None, progress=False)
    except (OSError, RuntimeError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise TerminalError(
            f"the weights {path} are missing and could not be downloaded ({reason}): fetch {entry.url} on a machine "
            f"with a network and put it there, or name your own copy with `weights` and `sha256`"
        ) from error
    return path


def _check_prefix(path: Path, sha256: str, url: str) -> None:
    prefix = HASH_REGEX.search(path.name)
    if prefix and not sha256.startswith(prefix.group(1)):
        raise TerminalError(f"{path} is damaged: its SHA-256 is {sha256}; remove it, or fetch it anew from {url}")


def _build(name: str, state: dict[str, Tensor], path: Path) -> tuple[nn.Module, str]:
    """Return the network with the weights of `state`, and the name of its last layer."""
    if any(OLD_DENSENET_KEY.search(key) for key in state):
        state = {OLD_DENSENET_KEY.sub(r"\1\2", key): tensor for key, tensor in state.items()}
    options = _options(name, state)
    network = torchvision.models.get_model(name, weights=None, **options)
    head = _head(network)
    weight = state.get(f"{head}.weight")
    if weight is not None and len(weight) != len(network.get_submodule(head).get_parameter("weight")):
        network = torchvision.models.get_model(name, weights=None, num_classes=len(weight), **options)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"{path} does not fit {name}: {_misfits(network, state) or error}") from None
    return network, head


def _options(name: str, state: dict[str, Tensor]) -> dict[str, Any]:
    # These two are built differently for trained weights, which torchvision does only for weights of its own.
    if name not in ("googlenet", "inception_v3"):
        return {}
    return {
        "transform_input": True,
        "init_weights": False,
        "aux_logits": any(AUXILIARY.match(key) for key in state),
    }


def _head(network: nn.Module) -> str:
    """Return the name of the last linear layer or, in a network without any, of the last convolution."""
    for kind in (nn.Linear, nn.Conv2d):
        found: list[str] = [name for name, layer in network.named_modules() if isinstance(layer, kind)]
        if found:
            return found[-1]
    raise TerminalError(f"{type(network).__name__} has neither a linear layer nor a convolution")


def _width(head: nn.Module, features: bool) -> int:
    weight = head.get_parameter("weight")
    return int(weight.shape[1] if features else weight.shape[0])


def _misfits(network: nn.Module, state: dict[str, Tensor]) -> str:
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    shapes = [
        f"{key} is {tuple(state[key].shape)} instead of {shape}"
        for key, shape in expected.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    found = (("missing", missing), ("unknown", unknown), ("shapes", shapes))
    return "; ".join(f"{len(keys)} {what}: {', '.join(keys[:NAMED_KEYS])}" for what, keys in found if keys)


def _described(transforms: Any) -> str:
    return (
        f"resize={transforms.resize_size} interpolation={transforms.interpolation.value} "
        f"antialias={transforms.antialias} crop={transforms.crop_size} "
        f"mean={transforms.mean} std={transforms.std}"
    )
