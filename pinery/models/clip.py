"""CLIP models through transformers: images and texts in one space. Runs no code from a repo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from pinery.config import ModelSettings
from pinery.errors import ConfigError
from pinery.imaging.elongation import refuse_elongated
from pinery.models.device import computing, resolve_batch_size, resolve_device, resolve_precision
from pinery.models.hub import joint_sha256, repo_folder, weights_files
from pinery.models.registry import Reference
from pinery.models.weights import file_sha256
from pinery.records import ModelCard

PREPROCESSING = (
    "do_convert_rgb",
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)


def load(reference: Reference, settings: ModelSettings, card: ModelCard | None = None) -> ClipModel:
    """The model of a folder or a Hub repo, on the device of the settings; of a repo the card's commit, else `main`.

    Raises:
        ConfigError: no such folder or repo, or what it holds is no CLIP model with all its weights.
        AccessDeniedError: the repo is gated.
        TerminalError: the repo is neither in the cache nor to be downloaded.
    """
    if settings.weights is not None:
        raise ConfigError("`weights` doesn't go with a clip: model; name a folder instead, as `clip:<folder>`.")
    folder, local = Path(reference.name).expanduser(), True
    if not folder.is_dir():
        if reference.name.startswith((".", "/", "~")):
            raise ConfigError(f"The folder {reference.name} of model {reference} does not exist.")
        folder, local = repo_folder(reference.name, card.revision if card else ""), False
    files = weights_files(folder)
    sha256 = joint_sha256(files)
    if settings.sha256 not in (None, sha256):
        raise ConfigError(f"The weights of {reference} have SHA-256 {sha256}, but {settings.sha256} is expected.")
    device = resolve_device(settings.device)
    network, processor = _network(folder, pickled=files[0].suffix == ".bin"), _processor(folder)
    return ClipModel(
        network=network.eval().requires_grad_(False).to(device),
        processor=processor,
        folder=folder,
        card=ModelCard(
            # A folder goes by its own name, so that moving it makes no new model; its config takes the commit's place.
            name=f"clip:{folder.resolve().name if local else reference.name}",
            weights=sha256,
            revision="" if local else folder.name,
            layer=f"image projection{_config_sum(folder) if local else ''}",
            preprocessing=_described(processor),
            decoder="exact",
            precision=resolve_precision(settings),
            normalise=False,
            dimension=int(network.config.projection_dim),
        ),
        device=device,
        batch_size=resolve_batch_size(settings, device),
    )


class ClipModel:
    """A CLIP network with its image processor and tokenizer. Vectors are as transformers gives them, of any length."""

    def __init__(
        self, *, network: Any, processor: Any, folder: Path, card: ModelCard, device: str, batch_size: int
    ) -> None:
        self.card, self.device, self.batch_size = card, device, batch_size
        self._network, self._processor, self._folder = network, processor, folder
        self._tokenizer: Any = None

    def preprocess(self, image: Image.Image) -> Tensor:
        """As the repo's image processor gives it, usually (3, 224, 224), float32.

        Raises:
            BadImageError: the image is too elongated.
        """
        size = self._processor.size
        refuse_elongated(image, int(size.get("shortest_edge") or size.get("height") or 224))
        return cast(Tensor, self._processor(images=image, return_tensors="pt")["pixel_values"][0])

    def embed(self, batch: Tensor) -> npt.NDArray[np.float32]:
        """Projected image features, (images, dimension), float32."""
        with torch.inference_mode(), computing(self.device, self.card.precision):
            return _vectors(self._network.get_image_features(pixel_values=batch.to(self.device)))

    def embed_text(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Projected text features, (texts, dimension), float32; texts are cut to what the model can read.

        Raises:
            ConfigError: the folder or repo has no tokenizer.
        """
        if self._tokenizer is None:
            self._tokenizer = _tokenizer(self._folder)
        longest = self._network.config.text_config.max_position_embeddings
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        inputs = {key: tokens[key].to(self.device) for key in ("input_ids", "attention_mask")}
        with torch.inference_mode(), computing(self.device, self.card.precision):
            return _vectors(self._network.get_text_features(**inputs))


def _vectors(output: Any) -> npt.NDArray[np.float32]:
    # transformers 4 gave the tensor itself.
    tensor = output if isinstance(output, Tensor) else output.pooler_output
    return cast(npt.NDArray[np.float32], tensor.float().cpu().numpy())


def _network(folder: Path, *, pickled: bool) -> Any:
    try:
        kind = json.loads((folder / "config.json").read_text()).get("model_type")
        if kind != "clip":
            raise ConfigError(f"{folder} holds a model of type {kind!r}, not a CLIP model.")
        loaded: Any = CLIPModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=not pickled, local_files_only=True, output_loading_info=True
        )
        network, info = loaded
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"{folder} can't be loaded as a CLIP model ({_first_line(error)}).") from error
    absent = [str(key) for name in ("missing_keys", "mismatched_keys") for key in info.get(name, ())]
    if absent:
        raise ConfigError(f"{folder} lacks {len(absent)} weights of a CLIP model: {', '.join(sorted(absent)[:3])}.")
    return network


def _config_sum(folder: Path) -> str:
    return f", config {file_sha256(folder / 'config.json')[:12]}"


def _processor(folder: Path) -> Any:
    try:
        return CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} has no image processor to load ({_first_line(error)}).") from error


def _tokenizer(folder: Path) -> Any:
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{folder} has no tokenizer to load ({_first_line(error)}); use --image.") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _described(processor: Any) -> str:
    settings = processor.to_dict()
    chosen = {key: settings[key] for key in PREPROCESSING if settings.get(key) is not None}
    return json.dumps(chosen, sort_keys=True, default=dict)
