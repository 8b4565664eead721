"""A model as transformers saves it, in a folder or a Hub repo: its network, image processor and where it came from.

Runs no code from a repo.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModel
from transformers.utils import logging

from pinery.config import ModelSettings
from pinery.errors import ConfigError
from pinery.imaging.elongation import refuse_elongated
from pinery.models.device import resolve_decoder, resolve_precision
from pinery.models.hub import joint_sha256, repo_folder, weights_files
from pinery.models.network import Preprocess
from pinery.models.nvjpeg import Finish
from pinery.models.reference import Reference
from pinery.models.weights import file_sha256
from pinery.records import ModelCard

PREPROCESSING = (
    "do_convert_rgb",
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "crop_pct",
    "do_pad",
    "pad_size",
    "size_divisor",
    "do_rescale",
    "rescale_factor",
    "rescale_offset",
    "do_normalize",
    "include_top",
    "image_mean",
    "image_std",
)
"""What decides an image processor's output; all other settings of it are notes."""
SHAPES = ((64, 48), (48, 80))
"""Width and height of two images that must come out of an image processor alike."""

PLAIN = Image.new("RGB", SHAPES[0])

cast(Any, logging).disable_progress_bar()  # a bar for each tensor of a file is no news


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Where a model lies, and whose it is."""

    folder: Path
    name: str
    """As the card says it: the repo, or of a local folder its own name alone, so that moving it makes no new model."""
    revision: str
    """The Hub commit, or an empty string."""
    sha256: str
    pickled: bool
    """Whether the weights are no safetensors."""


def locate(reference: Reference, settings: ModelSettings, card: ModelCard | None) -> Pretrained:
    """The model of a folder or a Hub repo; of a repo the card's commit, else `main`.

    Raises:
        ConfigError: no such folder or repo, it holds no weights or not the expected ones, or `weights` is set.
        AccessDeniedError: the repo is gated.
        TerminalError: the repo is neither in the cache nor to be downloaded.
    """
    family = reference.family
    if settings.weights is not None:
        raise ConfigError(
            f"`weights` doesn't go with a {family}: model; name a folder instead, as `{family}:<folder>`."
        )
    folder, local = Path(reference.name).expanduser(), True
    if not folder.is_dir():
        if reference.name.startswith((".", "/", "~")):
            raise ConfigError(f"The folder {reference.name} of model {reference} does not exist.")
        folder, local = repo_folder(reference, card.revision if card else ""), False
    files = weights_files(folder)
    sha256 = joint_sha256(files)
    if settings.sha256 not in (None, sha256):
        raise ConfigError(f"The weights of {reference} have SHA-256 {sha256}, but {settings.sha256} is expected.")
    name = folder.resolve().name if local else reference.name
    return Pretrained(folder, f"{family}:{name}", "" if local else folder.name, sha256, files[0].suffix == ".bin")


def load_network(found: Pretrained, dispensable: str = "") -> tuple[Any, bool]:
    """The network in fp32 on the CPU, and whether all its weights were there.

    Only weights whose names begin with `dispensable` may be missing; they are then random.

    Raises:
        ConfigError: the folder can't be loaded, or weights are missing.
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
        raise ConfigError(f"{found.folder} can't be loaded as a {_kind(found)} ({first_line(error)}).") from error
    absent = sorted(str(key) for name in ("missing_keys", "mismatched_keys") for key in info.get(name, ()))
    needed = [key for key in absent if not (dispensable and key.startswith(dispensable))]
    if needed:
        named = ", ".join(needed[:3])
        raise ConfigError(f"{found.folder} lacks {len(needed)} weights of {type(network).__name__}: {named}.")
    return network, not absent


def load_processor(found: Pretrained) -> tuple[Any, Preprocess, Finish | None]:
    """The folder's image processor, the function of one RGB image to (3, height, width), float32, that it makes, and
    the same for images on a device, where the processor can do that.

    The first function raises BadImageError for an image that is too elongated.

    Raises:
        ConfigError: there is none, or its outputs are not of one shape.
    """
    try:
        processor: Any = cast(Any, AutoImageProcessor).from_pretrained(
            found.folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"{found.folder} has no image processor to load ({first_line(error)}).") from error
    short_side = resize_side(processor)

    def preprocess(image: Image.Image) -> Tensor:
        refuse_elongated(image, short_side)
        return cast(Tensor, processor(images=image, return_tensors="pt")["pixel_values"][0])

    def finish(images: Tensor) -> Tensor:
        return cast(Tensor, processor(images=list(images), return_tensors="pt", device=images.device)["pixel_values"])

    outputs = [tuple(preprocess(Image.new("RGB", shape)).shape) for shape in SHAPES]
    if outputs[0] != outputs[1] or len(outputs[0]) != 3:
        raise ConfigError(
            f"The image processor of {found.folder} gives tensors of shapes {outputs[0]} and {outputs[1]} for images"
            f" of {SHAPES[0]} and {SHAPES[1]} pixels; Pinery runs models whose inputs all have one shape (3, height,"
            " width). Take a variant of the model with a fixed resolution, or set a fixed size in its"
            " preprocessor_config.json."
        )
    # Only those of torchvision take images where they are; transformers 5.0 says it by another name.
    anywhere = getattr(processor, "backend", None) == "torchvision" or getattr(processor, "is_fast", False)
    return processor, preprocess, finish if anywhere else None


def resize_side(processor: Any) -> int:
    """The side in pixels that an image processor resizes an image's shorter one to, at most."""
    sides = [processor.size.get(name) or 0 for name in ("shortest_edge", "height", "width")]
    # ConvNeXt resizes to more than it crops to.
    return math.ceil((max(sides) or 224) / (getattr(processor, "crop_pct", None) or 1))


def card_of(found: Pretrained, settings: ModelSettings, layer: str, processor: Any, dimension: int) -> ModelCard:
    """The card of a located model, in the settings' precision."""
    # A folder's config takes the place of a commit.
    config = "" if found.revision else f", config {file_sha256(found.folder / 'config.json')[:12]}"
    return ModelCard(
        name=found.name,
        weights=found.sha256,
        revision=found.revision,
        layer=layer + config,
        preprocessing=_described(processor),
        decoder=resolve_decoder(settings),
        precision=resolve_precision(settings),
        normalise=False,
        dimension=dimension,
    )


def width(network: nn.Module, preprocess: Preprocess) -> int:
    """The length of the vectors that `network` gives."""
    with torch.inference_mode():
        return int(network.eval()(preprocess(PLAIN)[None]).shape[1])


def pooled(output: Any) -> Tensor:
    """The pooled vectors (n, dimension) of a transformers call."""
    # transformers 4 gave some of them as the tensor itself.
    return cast(Tensor, output if isinstance(output, Tensor) else output.pooler_output).flatten(1)


def first_line(error: Exception) -> str:
    """The first line with words of an error's text, at most 200 characters; else its type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _kind(found: Pretrained) -> str:
    try:
        config = json.loads((found.folder / "config.json").read_text())
    except (OSError, ValueError):
        return "model, for it has no readable config.json"
    return f"model of type {config.get('model_type')!r}"


def _described(processor: Any) -> str:
    settings = processor.to_dict()
    chosen = {key: settings[key] for key in PREPROCESSING if settings.get(key) is not None}
    kind = re.sub("Fast$", "", type(processor).__name__)
    if kind != "CLIPImageProcessor":  # whose cards are older than the other kinds
        chosen["processor"] = kind
    return json.dumps(chosen, sort_keys=True, default=dict)
