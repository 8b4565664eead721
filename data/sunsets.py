"""Sunsets of the sample corpus: one evening light over five kinds of land."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from brushes import CANVAS, Colour, Pixels, X, Y, below, colour, glow, gradient, paint, picture, ridge, texture
from PIL import Image, ImageDraw


def sunset(rng: np.random.Generator) -> Image.Image:
    """Return a low sun over hills, the sea, firs, a town or a desert."""
    horizon = rng.uniform(0.62, 0.72)
    x, y, radius = rng.uniform(0.25, 0.75) * CANVAS, (horizon - rng.uniform(0.05, 0.16)) * CANVAS, rng.uniform(15, 25)
    pixels = _sky(rng, horizon, x, y, radius)
    land = LANDS[int(rng.integers(len(LANDS)))]
    return land(rng, pixels, horizon, x)


def _sky(rng: np.random.Generator, horizon: float, x: float, y: float, radius: float) -> Pixels:
    pixels = gradient(
        (0, colour(rng, 0.76, 0.55, 0.38, 0.04)),
        (horizon * 0.55, colour(rng, 0.96, 0.6, 0.78)),
        (horizon, colour(rng, 0.1, 0.62, 1.0)),
        (1, colour(rng, 0.06, 0.8, 0.9)),
    )
    clouds = (
        np.clip(texture(rng, 3, 16) - 0.25, 0, 1)[..., None] * np.clip(1.15 * horizon - Y / CANVAS, 0, 1)[..., None]
    )
    pixels += (np.asarray(colour(rng, 0.98, 0.35, 1.0), np.float32) - pixels) * clouds
    glow(pixels, x, y, radius * 3.2, (255, 205, 120), 0.75)
    disc = np.clip(radius - np.hypot(X - x, Y - y), 0, 1)[..., None]
    pixels += (np.asarray((255, 244, 205), np.float32) - pixels) * disc
    return pixels


def _dark(rng: np.random.Generator, value: float) -> Colour:
    return colour(rng, 0.8, 0.5, value, 0.03)


def _hills(rng: np.random.Generator, pixels: Pixels, horizon: float, _sun: float) -> Image.Image:
    for step, shade in ((0.03, 0.36), (0.12, 0.24), (0.22, 0.13)):
        below(pixels, ridge(rng, horizon + step, 0.05, rng.uniform(0.8, 1.8)), _dark(rng, shade))
    return picture(pixels)


def _sea(rng: np.random.Generator, pixels: Pixels, horizon: float, sun: float) -> Image.Image:
    flat = np.full(CANVAS, (horizon + 0.02) * CANVAS)
    below(pixels, flat, colour(rng, 0.04, 0.6, 0.78), _dark(rng, 0.26))
    image = picture(pixels)
    draw = ImageDraw.Draw(image)
    for y in range(int(flat[0]) + 4, CANVAS, 6):
        reach = rng.uniform(6, 12) + (y - flat[0]) * 0.45
        middle = sun + rng.uniform(-8, 8)
        draw.line([(middle - reach, y), (middle + reach, y)], fill=paint(colour(rng, 0.11, 0.5, 1.0)), width=2)
    x, y, size = (sun + rng.choice([-70, 70])) % CANVAS, flat[0] + rng.uniform(8, 24), rng.uniform(30, 48)
    shade = paint(_dark(rng, 0.16))
    draw.polygon([(x, y - size), (x, y - 4), (x + size * 0.5, y - 4)], fill=shade)
    draw.polygon([(x - 3, y - size * 0.8), (x - 3, y - 4), (x - size * 0.35, y - 4)], fill=shade)
    hull = [(x - size * 0.5, y - 2), (x + size * 0.6, y - 2), (x + size * 0.35, y + 6), (x - size * 0.3, y + 6)]
    draw.polygon(hull, fill=shade)
    return image


def _firs(rng: np.random.Generator, pixels: Pixels, horizon: float, _sun: float) -> Image.Image:
    below(pixels, ridge(rng, horizon + 0.06, 0.03, 1.2), _dark(rng, 0.34))
    image = picture(pixels)
    draw = ImageDraw.Draw(image)
    for foot, tall, value in ((0.95, 62, 0.2), (1.02, 92, 0.12)):
        for x in np.arange(-10, CANVAS + 10, tall * 0.36) + rng.uniform(-7, 7):
            height, at, shade = tall * rng.uniform(0.7, 1.25), x + rng.uniform(-6, 6), paint(_dark(rng, value))
            for level in range(4):
                top = foot * CANVAS - height * (1 - level * 0.2)
                reach = height * (0.09 + level * 0.045)
                draw.polygon([(at, top), (at - reach, top + height * 0.4), (at + reach, top + height * 0.4)], shade)
    return image


def _town(rng: np.random.Generator, pixels: Pixels, horizon: float, _sun: float) -> Image.Image:
    image = picture(pixels)
    draw = ImageDraw.Draw(image)
    for value, tallest in ((0.32, 0.3), (0.15, 0.2)):
        left = -rng.uniform(0, 16)
        while left < CANVAS:
            wide, tall = rng.uniform(18, 40), CANVAS * (1 - horizon - 0.1 + tallest * rng.uniform(0.1, 0.8))
            draw.rectangle([left, CANVAS - tall, left + wide, CANVAS], fill=paint(_dark(rng, value)))
            if rng.random() < 0.25:
                draw.line([(left + wide / 2, CANVAS - tall - 14), (left + wide / 2, CANVAS - tall)], (40, 24, 44), 2)
            for x, y in rng.uniform((left + 4, CANVAS - tall + 6), (left + wide - 8, CANVAS - 8), (5, 2)):
                draw.rectangle([x, y, x + 3, y + 5], fill=(255, 214, 120))
            left += wide + rng.uniform(0, 3)
    return image


def _cacti(rng: np.random.Generator, pixels: Pixels, horizon: float, _sun: float) -> Image.Image:
    for step, shade in ((0.03, 0.5), (0.14, 0.3)):
        line = ridge(rng, horizon + step, 0.03, rng.uniform(0.6, 1.0))
        below(pixels, line, colour(rng, 0.02, 0.6, shade), _dark(rng, shade - 0.14))
    image = picture(pixels)
    draw = ImageDraw.Draw(image)
    for x in rng.choice([0.14, 0.34, 0.6, 0.86], 2, replace=False) * CANVAS:
        foot, tall = rng.uniform(0.84, 0.94) * CANVAS, rng.uniform(70, 112)
        w, shade = tall * 0.075, paint(_dark(rng, 0.1))
        draw.rounded_rectangle([x - w, foot - tall, x + w, foot], w, fill=shade)
        for side, at in ((-1, rng.uniform(0.35, 0.5)), (1, rng.uniform(0.5, 0.65))):
            reach, low = x + side * tall * 0.25, foot - tall * at
            arm = [min(x, reach) - w * 0.7, low - w * 0.7, max(x, reach) + w * 0.7, low + w * 0.7]
            draw.rounded_rectangle(arm, w * 0.7, fill=shade)
            draw.rounded_rectangle([reach - w * 0.7, low - tall * 0.26, reach + w * 0.7, low], w * 0.7, fill=shade)
    return image


LANDS: tuple[Callable[[np.random.Generator, Pixels, float, float], Image.Image], ...] = (
    _hills, _sea, _firs, _town, _cacti,
)  # fmt: skip
