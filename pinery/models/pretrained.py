"""A model as transformers saves it, in a folder or a Hub repo: its network, its image processor and its card.

No code from a repo is run.
"""

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

from pinery.errors import ConfigError
from pinery.imaging.elongation import refuse_elongated
from pinery.imaging.nvjpeg import Finish
from pinery.models.device import resolve_decoder, resolve_precision
from pinery.models.hub import joint_sha256, repo_folder, weights_files
from pinery.models.network import Preprocess
from pinery.models.reference import Reference
from pinery.models.weights import file_sha256
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings

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
"""The settings that decide an image processor's output; all others are notes."""
SHAPES = ((64, 48), (48, 80))
"""Width and height of two images for which an image processor must give tensors of the same shape."""

PLAIN = Image.new("RGB", SHAPES[0])
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


def load_processor(found: Pretrained) -> tuple[Any, Preprocess, Finish | None]:
    """Return the folder's image processor, with two functions that preprocess images by it.

    The first function turns one RGB image into a tensor (3, height, width), float32, and raises BadImageError where the
    image is too elongated. The second one turns images (n, 3, height, width), uint8, on any device into tensors there,
    (n, 3, height, width), float32; it is None where the processor can't do that.

    Raises ConfigError where there is no image processor, or its tensors differ in shape.
    """
    try:
        processor: Any = cast(Any, AutoImageProcessor).from_pretrained(
            found.folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"{found.folder} has no image processor to load ({first_line(error)})") from error
    short_side = resize_side(processor)

    def preprocess(image: Image.Image) -> Tensor:
        refuse_elongated(image, short_side)
        return cast(Tensor, processor(images=image, return_tensors="pt")["pixel_values"][0])

    def finish(images: Tensor) -> Tensor:
        return cast(Tensor, processor(images=list(images), return_tensors="pt", device=images.device)["pixel_values"])

    outputs = [tuple(preprocess(Image.new("RGB", shape)).shape) for shape in SHAPES]
    if outputs[0] != outputs[1] or len(outputs[0]) != 3:
        raise ConfigError(
            f"the image processor of {found.folder} gives tensors of shapes {outputs[0]} and {outputs[1]} for images"
            f" of {SHAPES[0]} and {SHAPES[1]} pixels; Pinery runs models whose inputs all have one shape (3, height,"
            " width). Take a variant of the model with a fixed resolution, or set a fixed size in its"
            " preprocessor_config.json"
        )
    # Only torchvision's processors run on the images' device; transformers 5.0 says so by another name.
    anywhere = getattr(processor, "backend", None) == "torchvision" or getattr(processor, "is_fast", False)
    return processor, preprocess, finish if anywhere else None


def resize_side(processor: Any) -> int:
    """Return the length in pixels that an image processor resizes an image's short side to, at most."""
    sides = [processor.size.get(name) or 0 for name in ("shortest_edge", "height", "width")]
    # ConvNeXt's processor resizes an image to more than `size`, and then crops it to that.
    return math.ceil((max(sides) or 224) / (getattr(processor, "crop_pct", None) or 1))


def card_of(found: Pretrained, settings: ModelSettings, layer: str, processor: Any, dimension: int) -> ModelCard:
    """Return the card of a located model with vectors of `dimension` values, in the settings' precision."""
    # For a local folder, the hash of its config takes the place of a commit.
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
    """Return the dimension of the vectors that `network` gives."""
    with torch.inference_mode():
        return int(network.eval()(preprocess(PLAIN)[None]).shape[1])


def pooled(output: Any) -> Tensor:
    """Return the pooled vectors in the output of a transformers model: shape (n, dimension)."""
    # In transformers 4, the output of some models is the tensor itself.
    return cast(Tensor, output if isinstance(output, Tensor) else output.pooler_output).flatten(1)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text that isn't empty, cut to 200 characters; its type if there is none."""
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
    if kind != "CLIPImageProcessor":  # its cards are older than the other kinds, and don't name it
        chosen["processor"] = kind
    return json.dumps(chosen, sort_keys=True, default=dict)
