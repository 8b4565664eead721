"""The model families, how a reference is read, and the one way to load a model. Importing this imports no torch."""

import difflib
import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from types import ModuleType
from typing import cast

from pinery.errors import ConfigError, TerminalError
from pinery.models.protocol import Model
from pinery.models.reference import LAYERS, Reference
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings


@dataclass(frozen=True, slots=True)
class Family:
    """One row of `pinery models`."""

    name: str
    reference: str
    """The form of a reference to one of its models."""
    module: str
    """The module whose `load(reference, settings, card)` builds the model."""
    dimension: str
    """The number of values of a vector, in words."""
    text: bool
    """True where texts can be embedded beside images."""
    licence: str
    preprocessing: str
    download: str


FAMILIES = (
    Family(
        name="descriptor",
        reference="descriptor",
        module="pinery.models.descriptor",
        dimension="512",
        text=False,
        licence="Apache-2.0 (part of Pinery)",
        preprocessing="resized to a fixed square",
        download="none: colour, texture and layout, computed",
    ),
    Family(
        name="torchvision",
        reference="torchvision:<name>[@weights][#features]",
        module="pinery.models.torchvision",
        dimension="1000 logits; with #features the input of the last layer (512 for squeezenet1_1, 2048 for resnet50)",
        text=False,
        licence="BSD-3-Clause code; weights as their training data allows (some are non-commercial)",
        preprocessing="torchvision's transforms of those weights (224 x 224 for these)",
        download="download.pytorch.org into torch's hub cache, 5 MB and 98 MB for these; or `weights:`",
    ),
    Family(
        name="clip",
        reference="clip:<repo or folder>",
        module="pinery.models.clip",
        dimension="512 for openai/clip-vit-base-patch32, 768 for google/siglip-base-patch16-224",
        text=True,
        licence="as the repo says (MIT for OpenAI's CLIP, Apache-2.0 for Google's SigLIP and SigLIP 2)",
        preprocessing="the repo's own image processor (224 x 224 for these)",
        download="huggingface.co into its hub cache, 0.6 GB and 0.8 GB for these; none for a folder",
    ),
    Family(
        name="hf",
        reference="hf:<repo or folder>",
        module="pinery.models.hf",
        dimension="the model's hidden size: 384 for facebook/dinov2-small, 768 for facebook/dinov2-base",
        text=False,
        licence="as the repo says (Apache-2.0 for Meta's DINOv2)",
        preprocessing="the repo's own image processor (224 x 224 for these)",
        download="huggingface.co into its hub cache, 0.09 GB and 0.35 GB for these; none for a folder",
    ),
)


def parse(text: str) -> Reference:
    """Return the parts of a reference such as `torchvision:resnet50@IMAGENET1K_V2#features`.

    Only `load` finds out whether the named model and weights exist. Raises ConfigError where no family takes such a
    reference; the message names the nearest valid one.
    """
    text = text.strip()
    family, _, rest = text.partition(":")
    family = family.lower()
    if family == "descriptor" and not rest:
        return Reference("descriptor")
    if family in ("clip", "hf") and rest:
        return Reference(family, rest)
    match = re.fullmatch(r"([A-Za-z0-9_]+)(?:@([A-Za-z0-9_.]+))?(?:#([a-z]+))?", rest)
    if family == "torchvision" and match:
        name, weights, layer = match.groups(default="")
        # Torchvision prints an entry as `Name_Weights.ENTRY`, of which the entry alone says the same.
        weights, layer = weights.rpartition(".")[2], "" if layer == "logits" else layer
        if layer in ("", "features"):
            return Reference("torchvision", name.lower(), weights, layer)
    raise ConfigError(f"unknown model {text!r}; {_hint(text)}")


def refuse_unknown(settings: ModelSettings) -> None:
    """Raise ConfigError for a reference that names nothing, as far as that is known without weights or a network."""
    reference = parse(settings.name)
    if reference.family == "torchvision":
        importlib.import_module("pinery.models.torchvision").refuse_unknown(reference)


def module_of(reference: Reference) -> ModuleType:
    """Return the module that builds a model, which takes seconds to import."""
    family = next(row for row in FAMILIES if row.name == reference.family)
    return importlib.import_module(family.module)


def load(
    settings: ModelSettings,
    card: ModelCard | None = None,
    samples: Callable[[], Sequence[bytes]] | None = None,
    max_pixels: int = 64_000_000,
) -> Model:
    """Return the model that `settings` name, ready to embed.

    With a stored `card`, what the settings leave open (`auto`, a Hub branch, default weights) is taken from it.
    Without one, precision and decoder are decided, where they are `auto`, on the encoded images that `samples` gives,
    of at most `max_pixels` pixels each; without any image they are fp32 and exact.

    Raises ConfigError where the reference or the device is unknown, or the weights are not the expected ones;
    TerminalError where weights can't be downloaded, or the loaded model isn't the card's; AccessDeniedError where the
    weights' address refuses the credentials; and TransientError where it doesn't answer properly.
    """
    reference = parse(settings.name)
    if card is not None:
        stored = {"precision": card.precision, "decode": card.decoder}
        settings = settings.model_copy(update={key: stored[key] for key in stored if getattr(settings, key) == "auto"})
    importlib.import_module("pinery.models.device").keep_to_cores()
    model = cast(Model, module_of(reference).load(reference, settings, card))
    if card is None and samples is not None and "auto" in (settings.precision, settings.decode):
        probe = importlib.import_module("pinery.models.probe")
        return cast(Model, probe.settle(model, settings, samples, max_pixels))
    if card is not None and model.card != card:
        raise TerminalError(f"{settings.name} is no longer the model of this checkpoint: {_changes(card, model.card)}")
    return model


def _changes(stored: ModelCard, loaded: ModelCard) -> str:
    compared = [field.name for field in fields(ModelCard) if field.compare]
    changed = [name for name in compared if getattr(stored, name) != getattr(loaded, name)]
    parts = [f"{name} was {getattr(stored, name)!r} and is {getattr(loaded, name)!r}" for name in changed]
    return "; ".join(parts) + ". Restore what it was, or use `pinery backfill` for the new model"


def _hint(text: str) -> str:
    names: list[str] = importlib.import_module("pinery.models.torchvision").names()
    name, weights, layer = _loosely_parted(text)
    repo = name.partition(":")[2] or "<repo or folder>"
    known = ["descriptor", f"clip:{repo}", f"hf:{repo}", *(f"torchvision:{n}" for n in names), *names]
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    meant = f"torchvision:{nearest[0]}" if nearest and nearest[0] in names else "".join(nearest)
    if meant.startswith("torchvision:"):
        meant += weights + "".join(f"#{one}" for one in difflib.get_close_matches(layer.lower(), LAYERS, n=1))
    shapes = ", ".join(f"`{row.reference}`" for row in FAMILIES)
    return f"did you mean `{meant}`? References look like {shapes}" if meant else f"references look like {shapes}"


def _loosely_parted(text: str) -> tuple[str, str, str]:
    """Return the name, the weights with `@`, and the layer without `#`, in a text that is no valid reference."""
    text, _, layer = text.partition("#")
    name, at, weights = text.partition("@")
    return name, at + weights, layer
