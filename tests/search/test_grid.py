"""The picture grid: every tile is drawn, at its place, whatever its image and its caption are."""

from pathlib import Path

import pytest
from PIL import Image

from pinery.errors import ConfigError
from pinery.search.grid import CAPTION, EDGE, FORMATS, GAP, PICTURE, Tile, check_grid, draw_grid

STEP_X, STEP_Y = PICTURE + GAP, PICTURE + CAPTION + GAP


def plain(colour: str | int, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def middle(grid: Image.Image, column: int, row: int) -> tuple[int, ...]:
    found = grid.getpixel((GAP + column * STEP_X + PICTURE // 2, GAP + row * STEP_Y + PICTURE // 2))
    assert isinstance(found, tuple)
    return found


def caption(grid: Image.Image, column: int, row: int) -> Image.Image:
    x, y = GAP + column * STEP_X, GAP + row * STEP_Y + PICTURE + EDGE
    return grid.crop((x, y, x + PICTURE, y + CAPTION - EDGE))


def is_blank(image: Image.Image) -> bool:
    return all(low == high for low, high in image.getextrema())  # type: ignore[misc]  # RGB has a pair per channel


def test_tiles_are_in_reading_order_after_the_query(tmp_path: Path) -> None:
    tiles = [Tile(plain(c), "label", f"id-{c}", 0.5) for c in ("red", "lime", "blue")]
    path = draw_grid(tiles, tmp_path / "grid.png", columns=2, query=Tile(plain("black"), "query"))
    grid = Image.open(path)
    assert (grid.format, grid.mode, grid.size) == ("PNG", "RGB", (GAP + 2 * STEP_X, GAP + 2 * STEP_Y))
    assert [middle(grid, c, r) for r in (0, 1) for c in (0, 1)] == [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    frames = [grid.getpixel((GAP + c * STEP_X - 1, GAP + 9)) for c in (0, 1)]
    assert frames[0] != (255, 255, 255) == frames[1]
    assert not any(is_blank(caption(grid, c, r)) for r in (0, 1) for c in (0, 1))


def test_the_grid_is_no_wider_than_its_tiles(tmp_path: Path) -> None:
    grid = Image.open(draw_grid([Tile(plain("red"), "1")], tmp_path / "grid.png"))
    assert grid.size == (GAP + STEP_X, GAP + STEP_Y)


def test_a_missing_image_is_a_grey_tile_with_the_reason(tmp_path: Path) -> None:
    tiles = [Tile(None, "gone.jpg", "file:///a/b/c is no longer there " * 9), Tile(None, "blank")]
    grid = Image.open(draw_grid(tiles, tmp_path / "grid.png"))
    said, blank = (grid.crop((GAP + x, GAP, GAP + x + PICTURE, GAP + PICTURE)) for x in (0, STEP_X))
    assert said.getpixel((2, 2)) == blank.getpixel((2, 2)) == (0xE3, 0xE6, 0xEA)
    assert not is_blank(said)
    assert is_blank(blank)


@pytest.mark.parametrize(
    "image",
    [
        plain(255, mode="L"),
        plain(1, mode="1"),
        plain(3, mode="P"),
        plain("#ffffff00", mode="RGBA"),
        plain(40000, mode="I;16"),
        plain("white", (3000, 7)),
        plain("white", (1, 900)),
        plain("white", (1, 1)),
    ],
    ids=lambda image: f"{image.mode}-{image.width}x{image.height}",
)
def test_any_kind_and_shape_of_image_is_drawn(tmp_path: Path, image: Image.Image) -> None:
    grid = Image.open(draw_grid([Tile(image, "label", "1", 1.0)], tmp_path / "grid.png"))
    assert grid.size == (GAP + STEP_X, GAP + STEP_Y)


@pytest.mark.parametrize(
    "text", ["Flabébé – ćwiek", "Жар-птица", "図書館 한국", "🦄", "line\nbreak\ttab\x00", "x" * 5000, ""]
)
def test_any_caption_stays_in_its_tile(tmp_path: Path, text: str) -> None:
    tiles = [Tile(plain("red"), text, text, -1234.5), Tile(plain("red"), "")]
    grid = Image.open(draw_grid(tiles, tmp_path / "grid.png"))
    gap = grid.crop((GAP + PICTURE + 2, 0, GAP + STEP_X - 1, grid.height))
    assert is_blank(gap)
    assert is_blank(caption(grid, 1, 0))


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to draw"):
        draw_grid([], tmp_path / "grid.png")
    with pytest.raises(ConfigError, match="0 columns"):
        draw_grid([Tile(None, "1")], tmp_path / "grid.png", columns=0)
    assert not (tmp_path / "grid.png").exists()


def test_a_path_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/grid\.png"):
        draw_grid([Tile(None, "1")], tmp_path / "file" / "grid.png")


@pytest.mark.parametrize("suffix", [*FORMATS, ".PNG"])
def test_the_end_of_the_name_is_the_format(tmp_path: Path, suffix: str) -> None:
    grid = Image.open(draw_grid([Tile(plain("red"), "1")], tmp_path / f"grid{suffix}"))
    assert grid.format == FORMATS[suffix.lower()]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("grid.docx", "its name must end in one of .png, .jpg, .jpeg, .webp"),
        ("grid", "its name must end in one of .png"),
        ("none/grid.png", "there is no folder"),
        ("folder.png", "which is a folder"),
    ],
)
def test_a_picture_that_could_not_be_written_is_refused_before_anything_is_drawn(
    tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError) as caught:
        check_grid(tmp_path / name)
    assert words in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
