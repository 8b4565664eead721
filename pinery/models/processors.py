"""Image processors of transformers, where they allow it in two parts: pixels to pixels, and pixels to values."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor

from pinery.errors import ConfigError
from pinery.imaging.elongation import refuse_elongated
from pinery.imaging.nvjpeg import Finish
from pinery.imaging.quick import CentreCrop, cropped
from pinery.models.network import Normalise, Preprocess
from pinery.models.pixels import Values

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
SHAPES = ((64, 48), (48, 80), (301, 226))
"""Width and height of images that an image processor is tried on; their tensors must have the same shape."""
MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}
LIMITS = ("longest_edge", "max_height", "max_width")
"""The settings of a size that change only what is done to some images."""
PIXELS: dict[str, Any] = {"do_rescale": False, "do_normalize": False, "return_tensors": "pt"}
"""The options by which a processor leaves pixels as they are."""


@dataclass(frozen=True, slots=True)
class Processor:
    """What an image processor does, in the parts of which `TorchModel` is made."""

    preprocess: Preprocess
    """Turns one RGB image into a tensor (3, height, width), with its channels last in memory if these are pixels.

    Raises BadImageError where the image is too elongated."""
    normalise: Normalise | None
    """Makes values of the pixels, uint8, that `preprocess` and `finish` give; None where they give values, float32."""
    finish: Finish | None
    """Does to images (n, 3, height, width), uint8, on any device there what `preprocess` does; None where it can't."""
    centre_crop: CentreCrop | None
    """The resizing and cropping of `preprocess`, where these are all that it does to pixels; else None."""
    resize_side: int
    """The length in pixels that an image's short side is resized to, at most."""
    described: str
    """The settings that decide its output, for the card."""

    def values(self, image: Image.Image) -> Tensor:
        """Return what a network takes for one image: shape (1, 3, height, width), float32."""
        images = self.preprocess(image)[None]
        return images if self.normalise is None else self.normalise(images, torch.float32)


def load_processor(folder: Path) -> Processor:
    """Return the image processor in a folder.

    Raises ConfigError where there is none, or its tensors differ in shape.
    """
    try:
        processor: Any = cast(Any, AutoImageProcessor).from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"{folder} has no image processor to load ({first_line(error)})") from error
    tried = [_noise(shape) for shape in SHAPES]
    whole = [cast(Tensor, processor(images=image, return_tensors="pt")["pixel_values"][0]) for image in tried]
    _refuse_other_shapes(folder, whole)
    values = _values_of(processor)
    if values is None or not all(_splits(processor, values, *pair) for pair in zip(tried, whole, strict=True)):
        values = None
    short_side, options = resize_side(processor), {"return_tensors": "pt"} if values is None else PIXELS

    def preprocess(image: Image.Image) -> Tensor:
        refuse_elongated(image, short_side)
        found = cast(Tensor, processor(images=image, **options)["pixel_values"][0])
        return found if values is None else found.permute(1, 2, 0).contiguous().permute(2, 0, 1)

    def finish(images: Tensor) -> Tensor:
        return cast(Tensor, processor(images=list(images), device=images.device, **options)["pixel_values"])

    # Only torchvision's processors run on the images' device; transformers 5.0 says so by another name.
    anywhere = getattr(processor, "backend", None) == "torchvision" or getattr(processor, "is_fast", False)
    crop = None if values is None else _crop_of(processor)
    if crop is not None and not all(_crops_alike(crop, image, preprocess(image)) for image in tried):
        crop = None
    return Processor(preprocess, values, finish if anywhere else None, crop, short_side, _described(processor))


def resize_side(processor: Any) -> int:
    """Return the length in pixels that an image processor resizes an image's short side to, at most."""
    sides = [processor.size.get(name) or 0 for name in ("shortest_edge", "height", "width")]
    # ConvNeXt's processor resizes an image to more than `size`, and then crops it to that.
    return math.ceil((max(sides) or 224) / (getattr(processor, "crop_pct", None) or 1))


def first_line(error: Exception) -> str:
    """Return the first line of an error's text that isn't empty, cut to 200 characters; its type if there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _noise(shape: tuple[int, int]) -> Image.Image:
    width, height = shape
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


def _refuse_other_shapes(folder: Path, tensors: list[Tensor]) -> None:
    shapes = [tuple(tensor.shape) for tensor in tensors]
    other = next((at for at, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is None and len(shapes[0]) == 3:
        return
    at = other or 1
    raise ConfigError(
        f"the image processor of {folder} gives tensors of shapes {shapes[0]} and {shapes[at]} for images of"
        f" {SHAPES[0]} and {SHAPES[at]} pixels; Pinery runs models whose inputs all have one shape (3, height, width)."
        " Take a variant of the model with a fixed resolution, or set a fixed size in its preprocessor_config.json"
    )


def _values_of(processor: Any) -> Values | None:
    """Return what a processor does to pixels after resizing and cropping, as transformers' own fused step does it."""
    done = [getattr(processor, name, None) for name in ("do_rescale", "do_normalize", "image_mean", "image_std")]
    if not all(done):
        return None
    mean, std = (torch.tensor(one) * (1.0 / processor.rescale_factor) for one in done[2:])
    return Values(1, mean, std) if mean.shape == std.shape == (3,) else None


def _splits(processor: Any, values: Values, image: Image.Image, whole: Tensor) -> bool:
    """Return whether the values of the processor's pixels are those that it gives itself, to the bit."""
    pixels = torch.as_tensor(processor(images=image, **PIXELS)["pixel_values"][0])
    return pixels.dtype == torch.uint8 and torch.equal(values(pixels[None], torch.float32)[0], whole)


def _crop_of(processor: Any) -> CentreCrop | None:
    """Return the resizing and cropping that a processor's settings mean, if they are as usual."""
    size, crop = processor.size, getattr(processor, "crop_size", None) or {}
    if any(size.get(limit) for limit in LIMITS) or getattr(processor, "do_pad", False):
        return None
    square = size.get("height") == size.get("width") and size.get("height")
    side, mode = square or size.get("shortest_edge"), MODES.get(cast(Any, getattr(processor, "resample", None)))
    cut = crop.get("height") if getattr(processor, "do_center_crop", False) else side
    return CentreCrop(side, cut, mode, square=bool(square), floor=True) if side and cut and mode else None


def _crops_alike(crop: CentreCrop, image: Image.Image, expected: Tensor) -> bool:
    found = cropped(torch.from_numpy(np.array(image)), crop)
    return torch.equal(found, expected)


def _described(processor: Any) -> str:
    settings = processor.to_dict()
    chosen = {key: settings[key] for key in PREPROCESSING if settings.get(key) is not None}
    kind = re.sub("Fast$", "", type(processor).__name__)
    if kind != "CLIPImageProcessor":  # its cards are older than the other kinds, and don't name it
        chosen["processor"] = kind
    return json.dumps(chosen, sort_keys=True, default=dict)
