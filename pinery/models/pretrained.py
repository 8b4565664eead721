"""A model as transformers saves it, in a folder or a Hub repo: its network, its image processor and its card.

No code from a repo is run.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModel
from transformers.utils import logging

from pinery.errors import ConfigError
from pinery.models.device import resolve_decoder, resolve_precision
from pinery.models.hub import joint_sha256, repo_folder, weights_files
from pinery.models.network import Tokenise, TorchModel
from pinery.models.processors import Processor, first_line
from pinery.models.reference import Reference
from pinery.models.weights import file_sha256
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings

PLAIN = Image.new("RGB", (64, 48))
"""A black image, to try a network with."""

cast(Any, logging).disable_progress_bar()  # it would show a bar for each tensor of a file


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The folder of a model, and what its card says of its origin."""

    folder: Path
    name: str
    """The name in the card: the repo, or only the last part of a local folder's path, so that it may be moved."""
    revision: str
    """The Hub commit, or an empty string for a local folder."""
    sha256: str
    """The SHA-256 of its weights, as `joint_sha256` gives it."""
    pickled: bool
    """True where the weights are a pickled state dict instead of safetensors."""


def locate(reference: Reference, settings: ModelSettings, card: ModelCard | None) -> Pretrained:
    """Return the model in a folder or a Hub repo, at the card's commit or without a card at `main`.

    Raises ConfigError where there is no such folder or repo, it holds no weights or not the expected ones, or `weights`
    is set; AccessDeniedError where the repo is gated; and TerminalError where it can't be downloaded.
    """
    family = reference.family
    if settings.weights is not None:
        raise ConfigError(f"`weights` doesn't go with a {family}: model; name a folder instead, as `{family}:<folder>`")
    folder, local = Path(reference.name).expanduser(), True
    if not folder.is_dir():
        if reference.name.startswith((".", "/", "~")):
            raise ConfigError(f"the folder {reference.name} of model {reference} does not exist")
        folder, local = repo_folder(reference, card.revision if card else ""), False
    files = weights_files(folder)
    sha256 = joint_sha256(files)
    if settings.sha256 not in (None, sha256):
        raise ConfigError(f"the weights of {reference} have SHA-256 {sha256}, but {settings.sha256} is expected")
    name = folder.resolve().name if local else reference.name
    return Pretrained(folder, f"{family}:{name}", "" if local else folder.name, sha256, files[0].suffix == ".bin")


def load_network(found: Pretrained, dispensable: str = "") -> tuple[Any, bool]:
    """Return the network in fp32 on the CPU, and whether all its weights were there.

    Only weights whose names begin with `dispensable` may be missing; they are then random. Raises ConfigError where the
    folder can't be loaded or other weights are missing.
    """
    try:
        loaded: Any = AutoModel.from_pretrained(
            found.folder,
            dtype=torch.float32,
            use_safetensors=not found.pickled,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        network, info = loaded
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise ConfigError(f"{found.folder} can't be loaded as a {_kind(found)} ({first_line(error)})") from error
    absent = sorted(str(key) for name in ("missing_keys", "mismatched_keys") for key in info.get(name, ()))
    needed = [key for key in absent if not (dispensable and key.startswith(dispensable))]
    if needed:
        named = ", ".join(needed[:3])
        raise ConfigError(f"{found.folder} lacks {len(needed)} weights of {type(network).__name__}: {named}")
    return network, not absent


def card_of(found: Pretrained, settings: ModelSettings, layer: str, processor: Processor, dimension: int) -> ModelCard:
    """Return the card of a located model with vectors of `dimension` values, in the settings' precision."""
    # For a local folder, the hash of its config takes the place of a commit.
    config = "" if found.revision else f", config {file_sha256(found.folder / 'config.json')[:12]}"
    return ModelCard(
        name=found.name,
        weights=found.sha256,
        revision=found.revision,
        layer=layer + config,
        preprocessing=processor.described,
        decoder=resolve_decoder(settings),
        precision=resolve_precision(settings),
        normalise=False,
        dimension=dimension,
    )


def processed(
    network: nn.Module,
    processor: Processor,
    card: ModelCard,
    settings: ModelSettings,
    tokenise: Tokenise | None = None,
) -> TorchModel:
    """Return the model of a network whose images a processor preprocesses; see TorchModel."""
    return TorchModel(
        network,
        processor.preprocess,
        card,
        settings,
        resize_side=processor.resize_side,
        centre_crop=processor.centre_crop,
        finish=processor.finish,
        normalise=processor.normalise,
        tokenise=tokenise,
    )


def width(network: nn.Module, processor: Processor) -> int:
    """Return the dimension of the vectors that `network` gives."""
    with torch.inference_mode():
        return int(network.eval()(processor.values(PLAIN)).shape[1])


def pooled(output: Any) -> Tensor:
    """Return the pooled vectors in the output of a transformers model: shape (n, dimension)."""
    # In transformers 4, the output of some models is the tensor itself.
    return cast(Tensor, output if isinstance(output, Tensor) else output.pooler_output).flatten(1)


def _kind(found: Pretrained) -> str:
    try:
        config = json.loads((found.folder / "config.json").read_text())
    except (OSError, ValueError):
        return "model, for it has no readable config.json"
    return f"model of type {config.get('model_type')!r}"
