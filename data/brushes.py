"""What the painters of the sample corpus paint with: colours, gradients, lights, lines."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 128
"""Edge of an image in pixels."""
CANVAS = 2 * SIZE  # painted at twice the size, so that edges come out smooth

Colour = tuple[float, float, float]
Pixels = NDArray[np.float32]  # (CANVAS, CANVAS, 3), 0 to 255

Y, X = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float32)


def colour(rng: np.random.Generator, hue: float, saturation: float, value: float, spread: float = 0.02) -> Colour:
    """Return a colour near the given one; all of hue, saturation and value are 0 to 1."""
    h = (hue + rng.uniform(-spread, spread)) % 1
    s, v = (float(np.clip(x + rng.uniform(-0.07, 0.07), 0, 1)) for x in (saturation, value))
    r, g, b = colorsys.hsv_to_rgb(h, s, v)
    return r * 255, g * 255, b * 255


def gradient(*stops: tuple[float, Colour]) -> Pixels:
    """Return colours from top (0) to bottom (1), blended between the stops."""
    heights = np.linspace(0, 1, CANVAS)
    at = [height for height, _ in stops]
    rows = np.stack([np.interp(heights, at, [c[channel] for _, c in stops]) for channel in range(3)], axis=1)
    return np.repeat(rows[:, None, :], CANVAS, axis=1).astype(np.float32)


def glow(pixels: Pixels, x: float, y: float, radius: float, light: Colour, strength: float) -> None:
    """Blend a soft round light into `pixels`, in place."""
    weight = strength * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * radius**2))[..., None]
    pixels += (np.asarray(light, np.float32) - pixels) * np.clip(weight, 0, 1)


def texture(rng: np.random.Generator, across: int, down: int) -> NDArray[np.float32]:
    """Return smooth noise from -1 to 1 with about `across` x `down` blobs; shape (CANVAS, CANVAS)."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (down + 1, across + 1)).astype(np.float32))
    return np.asarray(coarse.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC))


def ridge(rng: np.random.Generator, height: float, swing: float, waves: float) -> NDArray[np.float64]:
    """Return a wavy line across the picture: y for each x, in pixels of the canvas."""
    x = np.linspace(0, 2 * np.pi, CANVAS)
    parts = [np.sin(x * waves * k * rng.uniform(0.6, 1.2) + rng.uniform(0, 7)) / k for k in (1, 2, 3.7)]
    return (height + swing * (parts[0] + parts[1] + parts[2]) / 1.8) * CANVAS


def below(pixels: Pixels, line: NDArray[np.float64], upper: Colour, lower: Colour | None = None) -> None:
    """Fill the area below `line` with `upper`, or from `upper` at the line to `lower` at the bottom, in place."""
    top = max(int(line.min()), 0)
    y, line = Y[top:], line[None, :].astype(np.float32)
    fill = np.asarray(upper, np.float32)
    if lower is not None:
        depth = np.clip((y - line) / np.maximum(CANVAS - line, 1), 0, 1)[..., None]
        fill = fill + depth * (np.asarray(lower, np.float32) - fill)
    np.copyto(pixels[top:], fill, where=(y >= line)[..., None])


def picture(pixels: Pixels) -> Image.Image:
    """Return the canvas as an image to draw on."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def paint(c: Colour) -> tuple[int, int, int]:
    """Return a colour as Pillow's drawing takes it."""
    return int(c[0]), int(c[1]), int(c[2])
