"""The built-in model, which has no weights: classical retrieval by colour, edges and layout of the main object.

Joint soft colour histograms in CIELAB, compressed by a power (the idea of RootSIFT: Arandjelović and Zisserman, CVPR
2012), weighted by how rare a pixel's colour is along the border (the boundary prior of Wei et al., ECCV 2012), and
histograms of gradient orientation (Dalal and Triggs, CVPR 2005) on a grid that follows the object's place and size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pinery.errors import ConfigError, NoTextTowerError
from pinery.models.device import resolve_batch_size, resolve_decoder, resolve_device
from pinery.models.reference import Reference
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings

SIDE = 64
BORDER = 5
"""The pixels on each side that count as border."""
LIGHTNESS_BINS, COLOUR_BINS = 3, 8
LIGHTNESS, GREEN_RED, BLUE_YELLOW = (0.0, 100.0), (-40.0, 60.0), (-50.0, 70.0)
"""The ranges of the CIELAB axes that the bins span; what lies beyond counts in the last bin."""
CENTRE = 0.55
"""The width of the weight around the picture's middle; the half side is 1."""
CORE, REACH = 0.5, 1.2
"""The widths of the object's inner and whole weight, in standard deviations of where its pixels are."""
GRID, GRID_SPAN, DIRECTIONS = 4, 1.5, 8
FAINTEST_EDGE = 0.01
"""A gradient up to this, in hundredths of CIELAB units per pixel, counts as none: noise must not make a vector."""
COLOUR_POWER, EDGE_POWER = 0.4, 0.5
SHARES = (1.0, 0.5, 1.2)
"""The shares of a cosine that the object's core, its surround and its edges decide."""
DIMENSION = 2 * LIGHTNESS_BINS * COLOUR_BINS**2 + GRID**2 * DIRECTIONS
CPU_CHUNK = 4
"""The images at once on a CPU: their intermediates stay in its cache, which is about twice as fast."""
VERSION = "1"
"""Raise it with every change that alters a vector."""


def load(_reference: Reference, settings: ModelSettings, _card: ModelCard | None = None) -> Descriptor:
    """Return the descriptor on the device of the settings.

    Raises ConfigError where the settings name weights or another precision than fp32, or this machine lacks the device.
    """
    if settings.weights is not None:
        raise ConfigError("`descriptor` has no weights; remove `weights`, or name a torchvision: or clip: model")
    if settings.precision not in ("auto", "fp32"):
        raise ConfigError(f"`descriptor` computes in fp32 only, not in {settings.precision}")
    device = resolve_device(settings.device)
    return Descriptor(device, resolve_batch_size(settings, device), resolve_decoder(settings))


class Descriptor:
    """Gives vectors of 512 values, of length 1, all at least 0."""

    card = ModelCard(
        name="descriptor",
        weights="none",
        revision="",
        layer=f"colour+edges v{VERSION}",
        preprocessing=f"resize={SIDE}x{SIDE} interpolation=bilinear antialias",
        decoder="exact",
        precision="fp32",
        normalise=True,
        dimension=DIMENSION,
    )

    resize_side = SIDE
    centre_crop = None
    """Pillow makes so small an image at the least cost, so there is no quicker way."""

    def __init__(self, device: str = "cpu", batch_size: int = 32, decoder: str = "exact") -> None:
        self.device = device
        self.batch_size = batch_size
        self.card = replace(self.card, decoder=decoder)

    def expect(self, images: int, threads: int) -> None:
        """Do nothing: it computes in the same way for any number of images."""

    def preprocess(self, image: Image.Image) -> Tensor:
        """Return the image resized to a square: shape (3, 64, 64), uint8."""
        small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
        return torch.from_numpy(np.array(small)).permute(2, 0, 1).contiguous()

    def prepare_on_device(self, encoded: Sequence[bytes], max_pixels: int) -> list[Tensor | None]:  # noqa: ARG002
        """Leave all images to the CPU."""
        return [None] * len(encoded)

    def embed(self, batch: Tensor) -> npt.NDArray[np.float32]:
        """Return the vectors of images (images, 3, 64, 64), uint8: shape (images, 512), float32."""
        chunk = CPU_CHUNK if self.device == "cpu" else len(batch)
        with torch.inference_mode():
            images = batch.to(self.device)
            parts = [describe(images[at : at + chunk]) for at in range(0, len(images), chunk)]
            vectors: npt.NDArray[np.float32] = torch.cat(parts).cpu().numpy()
        return vectors

    def embed_text(self, texts: list[str]) -> npt.NDArray[np.float32]:  # noqa: ARG002  the protocol's name
        """Raise NoTextTowerError, because there is no text tower."""
        raise NoTextTowerError("descriptor embeds no texts: it has no text tower; use `image` or a clip: model")


def describe(images: Tensor) -> Tensor:
    """Return the vectors of sRGB images (n, 3, 64, 64), uint8: shape (n, 512), float32, each of length 1."""
    lab = _lab(images)
    lightness, red, yellow = lab.flatten(2).unbind(1)
    light = _soft_bins(lightness, LIGHTNESS_BINS, *LIGHTNESS)
    hue = _outer(_soft_bins(red, COLOUR_BINS, *GREEN_RED), _soft_bins(yellow, COLOUR_BINS, *BLUE_YELLOW))
    x, y = _coordinates(images.device)
    object_weight = _stands_out(light, hue, x, y) ** 3
    u, v = _object_frame(object_weight * _bell(x**2 + y**2, CENTRE), x, y)
    core = _bell(u**2 + v**2, CORE)
    surround = (1 - core) * _bell(u**2 + v**2, REACH)
    blocks = (
        _colours(light, hue, object_weight * core) ** COLOUR_POWER,
        _colours(light, hue, object_weight * surround) ** COLOUR_POWER,
        _edges(lab / 100, object_weight * _bell(x**2 + y**2, CENTRE), u, v) ** EDGE_POWER,
    )
    weighted = [_unit(block) * math.sqrt(share) for block, share in zip(blocks, SHARES, strict=True)]
    return _unit(torch.cat(weighted, dim=1))


def _lab(images: Tensor) -> Tensor:
    """Return sRGB images (n, 3, 64, 64), uint8, in CIELAB under D65: the same shape, float32."""
    srgb = images.float() / 255
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    r, g, b = linear.unbind(1)
    xyz = (
        (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047,
        0.2126729 * r + 0.7151522 * g + 0.0721750 * b,
        (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883,
    )
    x, y, z = (torch.where(t > 0.008856, t.clamp_min(1e-6) ** (1 / 3), 7.787 * t + 16 / 116) for t in xyz)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=1)


def _soft_bins(values: Tensor, bins: int, low: float, high: float) -> Tensor:
    """Return the share of each value (...) in each bin: shape (..., bins); the two nearest bins share it linearly."""
    place = ((values - low) / (high - low)).clamp(0, 1) * (bins - 1)
    return (1 - (place[..., None] - torch.arange(bins, device=values.device)).abs()).clamp_min(0)


def _soft_directions(angles: Tensor) -> Tensor:
    """Return the share of each undirected angle (...), in half turns, in each direction: shape (..., directions)."""
    place = (angles % 1) * DIRECTIONS
    distance = (place[..., None] - torch.arange(DIRECTIONS, device=angles.device)).abs()
    return (1 - torch.minimum(distance, DIRECTIONS - distance)).clamp_min(0)


def _outer(first: Tensor, second: Tensor) -> Tensor:
    return (first[..., :, None] * second[..., None, :]).flatten(-2)


def _coordinates(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the x and the y of each pixel, from -1 to 1: each has shape (1, pixels)."""
    axis = torch.linspace(-1, 1, SIDE, device=device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x.reshape(1, -1), y.reshape(1, -1)


def _bell(squared: Tensor, width: float) -> Tensor:
    return torch.exp(-squared / (2 * width**2))


def _colours(light: Tensor, hue: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted joint histogram, which sums to 1: shape (n, lightness x colour bins)."""
    counts = torch.bmm((light * weight[..., None]).transpose(1, 2), hue).flatten(1)
    return counts / counts.sum(dim=1, keepdim=True).clamp_min(1e-9)


def _stands_out(light: Tensor, hue: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return how rare each pixel's colour is along the border, from 0 (only there) to 1 (never there): (n, pixels)."""
    edge = 1 - 2 * BORDER / SIDE
    border = ((x.abs() > edge) | (y.abs() > edge)).float().expand(len(light), -1)
    here = _colours(light, hue, torch.ones_like(border))
    rarity = (here / (here + _colours(light, hue, border) + 1e-9)).view(-1, LIGHTNESS_BINS, COLOUR_BINS**2)
    return (light * torch.bmm(hue, rarity.transpose(1, 2))).sum(dim=2)


def _object_frame(weight: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coordinates around the weight's centre, in its standard deviations: each has shape (n, pixels)."""
    share = weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-9)
    frame = []
    for axis in (x, y):
        offset = axis - (share * axis).sum(dim=1, keepdim=True)
        frame.append(offset / (share * offset**2).sum(dim=1, keepdim=True).sqrt().clamp_min(0.1))
    return frame[0], frame[1]


def _edges(lab: Tensor, weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return the gradient's strength by direction in each cell of the object's grid: shape (n, cells x directions)."""
    padded = torch.nn.functional.pad(lab, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 2:] - padded[..., :-2]) / 8
    down = (padded[..., 2:, :] - padded[..., :-2, :]) / 8
    gx = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]).flatten(2)
    gy = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]).flatten(2)
    strength = ((gx**2 + gy**2).sqrt() - FAINTEST_EDGE).clamp_min(0)
    directions = (_soft_directions(torch.atan2(gy, gx) / math.pi) * strength[..., None]).sum(dim=1)
    cells = _outer(_soft_bins(v, GRID, -GRID_SPAN, GRID_SPAN), _soft_bins(u, GRID, -GRID_SPAN, GRID_SPAN))
    cells = cells * weight[..., None]
    return (torch.bmm(cells.transpose(1, 2), directions) / cells.sum(dim=1)[..., None].clamp_min(1e-6)).flatten(1)


def _unit(vectors: Tensor) -> Tensor:
    length = vectors.square().sum(dim=1, keepdim=True).sqrt()
    return vectors / length.clamp_min(1e-9)
