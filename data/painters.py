"""The pictures of the sample corpus: eight kinds, each painted from a random generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from brushes import CANVAS, SIZE, X, Y, below, colour, glow, gradient, paint, picture, ridge, texture
from PIL import Image, ImageDraw, ImageFilter
from sunsets import sunset


def forest(rng: np.random.Generator) -> Image.Image:
    """Paint rows of firs in mist."""
    hue = rng.uniform(0.3, 0.4)
    image = picture(gradient((0, colour(rng, hue + 0.1, 0.12, 0.93)), (1, colour(rng, hue, 0.3, 0.72))))
    draw = ImageDraw.Draw(image)
    rows = 5
    for row in range(rows):
        near = row / (rows - 1)
        leaf = colour(rng, hue, 0.3 + 0.45 * near, 0.68 - 0.46 * near, 0.01)
        foot = (0.5 + 0.5 * near) * CANVAS
        for x in np.arange(-20, CANVAS + 20, 16 + 26 * near) + rng.uniform(-9, 9):
            tall, wide = (54 + 80 * near) * rng.uniform(0.7, 1.25), (10 + 17 * near) * rng.uniform(0.85, 1.15)
            at = x + rng.uniform(-8, 8)
            for level in range(4):
                top = foot - tall * (1 - level * 0.2)
                reach, bottom = wide * (0.45 + level * 0.2), top + tall * 0.36
                draw.polygon([(at, top), (at - reach, bottom), (at + reach, bottom)], fill=paint(leaf))
        draw.rectangle([0, foot - 12, CANVAS, CANVAS], fill=paint(leaf))
    return image


def ocean(rng: np.random.Generator) -> Image.Image:
    """Paint rolling waves under a bright sky, sometimes with a sail."""
    horizon, hue = rng.uniform(0.28, 0.45), rng.uniform(0.5, 0.58)
    pixels = gradient((0, colour(rng, 0.57, 0.5, 0.92)), (horizon, colour(rng, 0.54, 0.12, 1.0)), (1, (255, 255, 255)))
    pixels += np.clip(texture(rng, 5, 9), 0, 1)[..., None] * 60
    waves = 7
    for wave in range(waves):
        near = wave / (waves - 1)
        line = ridge(rng, horizon + (0.93 - horizon) * near**1.5, 0.004 + 0.022 * near, rng.uniform(3, 5) - 2 * near)
        if wave == 0:
            line = np.full(CANVAS, horizon * CANVAS)
        body = colour(rng, hue + 0.05 * near, 0.5 + 0.35 * near, 0.85 - 0.4 * near, 0.008)
        crest = colour(rng, hue, 0.12, 1.0)
        below(pixels, line - 1.5 * near - 0.5, crest)
        below(pixels, line + 1.5 + 2.5 * near, body)
    image = picture(pixels)
    if rng.random() < 0.6:
        x, y, size = rng.uniform(0.15, 0.85) * CANVAS, (horizon + 0.035) * CANVAS, rng.uniform(20, 36)
        draw = ImageDraw.Draw(image)
        draw.polygon([(x, y - size), (x, y - 4), (x + size * 0.55, y - 4)], fill=(255, 255, 250))
        draw.polygon([(x - 3, y - size * 0.85), (x - 3, y - 4), (x - size * 0.4, y - 4)], fill=(236, 90, 70))
        hull = [(x - size * 0.5, y - 2), (x + size * 0.6, y - 2), (x + size * 0.35, y + 5), (x - size * 0.3, y + 5)]
        draw.polygon(hull, fill=(90, 50, 40))
    return image


def city(rng: np.random.Generator) -> Image.Image:
    """Paint a skyline at night with lit windows and a moon."""
    hue = rng.uniform(0.62, 0.72)
    pixels = gradient((0, colour(rng, hue, 0.75, 0.16)), (1, colour(rng, hue + 0.08, 0.6, 0.5)))
    x, y, radius = rng.uniform(0.15, 0.85) * CANVAS, rng.uniform(0.1, 0.25) * CANVAS, rng.uniform(12, 20)
    glow(pixels, x, y, radius * 2.4, (190, 200, 255), 0.5)
    image = picture(pixels)
    draw = ImageDraw.Draw(image)
    for star_x, star_y in rng.uniform(0, CANVAS, (30, 2)):
        draw.point([(star_x, star_y * 0.6), (star_x + 1, star_y * 0.6)], fill=(220, 225, 255))
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(250, 246, 220))
    for row, (value, height) in enumerate(((0.3, 0.6), (0.17, 0.45))):
        left = -rng.uniform(0, 20)
        while left < CANVAS:
            wide, tall = rng.uniform(26, 48), CANVAS * height * rng.uniform(0.55, 1.15)
            top = CANVAS - tall
            draw.rectangle([left, top, left + wide, CANVAS], fill=paint(colour(rng, hue, 0.55, value, 0.01)))
            for window_x in np.arange(left + 5, left + wide - 7, 9):
                for window_y in np.arange(top + 7, CANVAS, 12):
                    if rng.random() < 0.32 + 0.2 * row:
                        lit = paint(colour(rng, 0.125, 0.5, 0.97, 0.03))
                        draw.rectangle([window_x, window_y, window_x + 4, window_y + 6], fill=lit)
            left += wide + rng.uniform(0, 5)
    return image


def desert(rng: np.random.Generator) -> Image.Image:
    """Paint dunes under a clear sky, with cacti."""
    horizon = rng.uniform(0.42, 0.58)
    pixels = gradient(
        (0, colour(rng, 0.53, 0.55, 0.86, 0.03)), (horizon, colour(rng, 0.1, 0.2, 1.0)), (1, (255, 230, 180))
    )
    glow(pixels, rng.uniform(0.1, 0.9) * CANVAS, rng.uniform(0.08, 0.3) * CANVAS, 20, (255, 255, 225), 1.3)
    hue = rng.uniform(0.07, 0.11)
    dunes = 4
    for dune in range(dunes):
        near = dune / (dunes - 1)
        line = ridge(rng, horizon + (0.85 - horizon) * near, 0.05 + 0.03 * near, rng.uniform(0.6, 1.2))
        below(
            pixels, line, colour(rng, hue, 0.45 + 0.12 * near, 0.98), colour(rng, hue - 0.03, 0.65, 0.72 - 0.12 * near)
        )
    image = picture(pixels)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 4)):
        x, y, tall = rng.uniform(0.1, 0.9) * CANVAS, rng.uniform(0.72, 0.95) * CANVAS, rng.uniform(44, 84)
        green, w = paint(colour(rng, 0.36, 0.6, 0.42)), tall * 0.085
        draw.rounded_rectangle([x - w, y - tall, x + w, y], w, fill=green)
        for side, at in ((-1, rng.uniform(0.35, 0.5)), (1, rng.uniform(0.45, 0.65))):
            reach, low = x + side * tall * 0.27, y - tall * at
            draw.rounded_rectangle(
                [min(x, reach) - w * 0.7, low - w * 0.7, max(x, reach) + w * 0.7, low + w * 0.7], w * 0.7, fill=green
            )
            draw.rounded_rectangle(
                [reach - w * 0.7, low - tall * 0.28, reach + w * 0.7, low + w * 0.7], w * 0.7, fill=green
            )
    return image


def stripes(rng: np.random.Generator) -> Image.Image:
    """Paint slanted bands of a few matching colours."""
    hue, count = rng.random(), int(rng.integers(3, 6))
    step = rng.choice([0.08, 0.33, 0.5])
    palette = [colour(rng, hue + step * n, rng.uniform(0.25, 0.85), rng.uniform(0.6, 1.0)) for n in range(count)]
    palette[0] = colour(rng, hue, 0.06, 0.98)
    widths = rng.uniform(9, 34, count)
    angle = rng.choice([0, np.pi / 2, np.pi / 4, -np.pi / 4]) + rng.uniform(-0.12, 0.12)
    along = (X * np.cos(angle) + Y * np.sin(angle)) % widths.sum()
    band = np.searchsorted(np.cumsum(widths)[:-1], along, side="right")
    return picture(np.asarray(palette, np.float32)[band])


def balloons(rng: np.random.Generator) -> Image.Image:
    """Paint bright balloons on strings in a pale sky."""
    image = picture(gradient((0, colour(rng, 0.55, 0.3, 1.0, 0.03)), (1, colour(rng, 0.55, 0.06, 1.0, 0.05))))
    draw = ImageDraw.Draw(image)
    count = int(rng.integers(4, 8))
    for n, slot in enumerate(rng.permutation(count)):
        x = CANVAS * (0.14 + 0.72 * (slot + 0.5) / count) + rng.uniform(-10, 10)
        y, r = rng.uniform(0.2, 0.58) * CANVAS, rng.uniform(25, 40)
        hue = (n / count + rng.uniform(0, 0.12)) % 1
        sway = [(x + 5 * np.sin(t / 14 + n), y + r * 1.3 + t) for t in range(0, CANVAS, 6)]
        draw.line(sway, fill=(120, 120, 130), width=2)
        body, dark = colour(rng, hue, 0.78, 0.95), colour(rng, hue, 0.85, 0.72)
        draw.polygon([(x, y + r * 1.14), (x - 6, y + r * 1.34), (x + 6, y + r * 1.34)], fill=paint(dark))
        draw.ellipse([x - r, y - r * 1.2, x + r, y + r * 1.2], fill=paint(dark))
        draw.ellipse([x - r, y - r * 1.2, x + r * 0.86, y + r * 1.06], fill=paint(body))
        draw.ellipse([x - r * 0.62, y - r * 0.82, x - r * 0.18, y - r * 0.22], fill=(255, 250, 245))
    return image


def flowers(rng: np.random.Generator) -> Image.Image:
    """Paint blossoms in a meadow."""
    pixels = gradient((0, colour(rng, 0.27, 0.55, 0.62, 0.03)), (1, colour(rng, 0.32, 0.7, 0.34, 0.03)))
    image = picture(pixels + 16 * texture(rng, 22, 10)[..., None])
    draw = ImageDraw.Draw(image)
    hue, petals = rng.choice([0.93, 0.02, 0.8, 0.14, 0.6]), int(rng.integers(5, 9))
    spots = rng.permutation([(column, row) for column in range(4) for row in range(4)])[: rng.integers(8, 13)]
    for column, row in sorted(spots.tolist(), key=lambda spot: spot[1]):
        x, y = ((v + 0.5) * CANVAS / 4 + rng.uniform(-14, 14) for v in (column, row))
        r, turn = rng.uniform(17, 27) * (0.75 + row * 0.14), rng.uniform(0, 2 * np.pi)
        draw.line([(x, y), (x + rng.uniform(-8, 8), y + r * 2.4)], fill=(38, 92, 40), width=4)
        petal = paint(colour(rng, hue, 0.6, 0.96, 0.035))
        for angle in turn + np.arange(petals) * 2 * np.pi / petals:
            at_x, at_y, size = x + np.cos(angle) * r * 0.62, y + np.sin(angle) * r * 0.62, r * 0.5
            draw.ellipse([at_x - size, at_y - size, at_x + size, at_y + size], fill=petal, outline=(255, 240, 245))
        draw.ellipse([x - r * 0.36, y - r * 0.36, x + r * 0.36, y + r * 0.36], fill=(250, 205, 70))
    return image


PAINTERS: tuple[Callable[[np.random.Generator], Image.Image], ...] = (
    balloons, city, desert, flowers, forest, ocean, stripes, sunset,
)  # fmt: skip


def image_of(kind: int, number: int, seed: int) -> Image.Image:
    """Return image `number` of a kind, SIZE x SIZE, RGB; it depends on nothing but the arguments."""
    rng = np.random.default_rng([seed, kind, number])
    return PAINTERS[kind](rng).filter(ImageFilter.BoxBlur(0.4)).reduce(CANVAS // SIZE)
