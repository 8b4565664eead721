"""Draws search results as one picture: a grid of captioned tiles, with the query first."""

import contextlib
import functools
import os
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from pinery.errors import ConfigError

PICTURE = 200
"""The side in pixels of a tile's picture."""
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Pillow's name for the format of a picture, by the suffix of its file."""
CAPTION, GAP, EDGE = 54, 16, 4
"""Pixels of height for the caption, between tiles, and of the frame around the query."""

_PAPER, _INK, _FAINT, _MARK, _MISSING = "#ffffff", "#1c1f24", "#6d7480", "#0b63ce", "#e3e6ea"
# Pillow's own font has little beyond ASCII; other characters are drawn with the first of these that is installed.
_MORE_FONTS = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a grid; its caption and score are drawn below it, and below these a note, such as an id.

    Without an image, the note says why there is none, and is drawn on a grey tile.
    """

    image: Image.Image | None
    caption: str
    note: str = ""
    score: float | None = None


def check_grid(path: Path) -> None:
    """Raise ConfigError where a picture can't be written to `path`, for its format, its folder or its permissions."""
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise ConfigError(f"the picture {path} can't be drawn: its name must end in one of {known}")
    if path.is_dir():
        raise ConfigError(f"the picture can't be written to {path}, which is a folder; give a file in it")
    if not path.parent.is_dir():
        raise ConfigError(f"the picture can't be written to {path}: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"the picture can't be written to {path}: permission denied; give another path")


def draw_grid(tiles: Sequence[Tile], path: Path, columns: int = 5, query: Tile | None = None) -> Path:
    """Draw `tiles` in reading order to a picture at `path`, after `query` with a frame; return the path.

    Raises ConfigError where there is nothing to draw, `columns` is less than 1 or `path` can't be written.
    """
    check_grid(path)
    shown = [*([query] if query else []), *tiles]
    if not shown:
        raise ConfigError("nothing to draw: the grid has no tiles; search in a corpus that has been run")
    if columns < 1:
        raise ConfigError(f"a grid can't have {columns} columns; it needs 1 or more")
    across = min(columns, len(shown))
    down = -(-len(shown) // across)
    step_x, step_y = PICTURE + GAP, PICTURE + CAPTION + GAP
    canvas = Image.new("RGB", (GAP + across * step_x, GAP + down * step_y), _PAPER)
    for n, tile in enumerate(shown):
        row, column = divmod(n, across)
        _draw_tile(canvas, tile, GAP + column * step_x, GAP + row * step_y, is_query=tile is query)
    try:
        canvas.save(path, FORMATS[path.suffix.lower()])
    except OSError as error:
        raise ConfigError(f"the grid can't be written to {path}: {error.strerror or error}") from error
    return path


def _draw_tile(canvas: Image.Image, tile: Tile, x: int, y: int, is_query: bool) -> None:
    draw = ImageDraw.Draw(canvas)
    if tile.image is None:
        _draw_reason(draw, tile.note, x, y)
    else:
        canvas.paste(_fitted(tile.image), (x, y))
        _draw_line(draw, tile.note, x, y + PICTURE + 32, PICTURE, _FAINT, 13)
    if is_query:
        draw.rectangle([x - EDGE, y - EDGE, x + PICTURE + EDGE - 1, y + PICTURE + EDGE - 1], outline=_MARK, width=EDGE)
    score = "query" if is_query else "" if tile.score is None else f"{tile.score:.3f}"
    score, font = _lettering(score, 16)
    draw.text((x + PICTURE, y + PICTURE + 8), score, _MARK if is_query else _FAINT, font, anchor="ra")
    _draw_line(draw, tile.caption, x, y + PICTURE + 7, PICTURE - draw.textlength(score, font) - 10, _INK, 17)


def _draw_reason(draw: ImageDraw.ImageDraw, reason: str, x: int, y: int) -> None:
    draw.rectangle([x, y, x + PICTURE - 1, y + PICTURE - 1], fill=_MISSING)
    text, font = _lettering(_one_line(reason), 15)
    lines = "\n".join(textwrap.wrap(text, 22)[:6])
    draw.multiline_text((x + PICTURE // 2, y + PICTURE // 2), lines, _FAINT, font, anchor="mm", align="center")


def _draw_line(draw: ImageDraw.ImageDraw, text: str, x: int, y: int, width: float, ink: str, size: int) -> None:
    """Draw one line of at most `width` pixels; a longer one loses its middle, because ids often differ at the end."""
    text, font = _lettering(_one_line(text), size)
    keep = min(len(text), 100)
    shown = text if keep == len(text) else _without_middle(text, keep)
    while keep > 1 and draw.textlength(shown, font) > width:
        keep -= 1
        shown = _without_middle(text, keep)
    draw.text((x, y), shown, ink, font)


def _fitted(image: Image.Image) -> Image.Image:
    """Return the whole image, centred on a square; a small one is enlarged with sharp pixels."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, _PAPER), layer)
    enlarge = max(upright.size) * 2 <= PICTURE
    method = Image.Resampling.NEAREST if enlarge else Image.Resampling.LANCZOS
    return ImageOps.pad(upright.convert("RGB"), (PICTURE, PICTURE), method, color="#f4f5f7")


def _without_middle(text: str, keep: int) -> str:
    tail = keep // 2
    return f"{text[: keep - tail]}…{text[len(text) - tail :]}"


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


@functools.cache
def _fonts(size: int) -> tuple[Font, ...]:
    """Return Pillow's own font, then those that are installed for other scripts."""
    found: list[Font] = [ImageFont.load_default(size)]
    for name in _MORE_FONTS:
        with contextlib.suppress(OSError):
            found.append(ImageFont.truetype(name, size))
    return tuple(found)


@functools.cache
def _unknown(font: Font) -> bytes:
    return bytes(font.getmask("\uffff"))


def _has(font: Font, text: str) -> bool:
    # A font draws the same box for every character that it lacks.
    return all(c.isspace() or bytes(font.getmask(c)) != _unknown(font) for c in set(text))


def _lettering(text: str, size: int) -> tuple[str, Font]:
    """Return `text` and a font with its letters; without such a font, accents are dropped and letters are boxes."""
    for font in _fonts(size):
        if _has(font, text):
            return text, font
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return plain, next((font for font in _fonts(size) if _has(font, plain)), _fonts(size)[-1])
