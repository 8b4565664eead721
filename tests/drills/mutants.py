"""Images that are broken, odd, or no images at all, all from one seed."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from PIL import Image

from tests.corpora import COLOURS, picture

FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "tiff": "TIFF", "bmp": "BMP"}
ORIENTATION = 0x0112
ABSURD = 60_000
"""A side in pixels, of an image that no run may decode."""
BIG = 7_900
"""A side in pixels, just within what a run decodes."""

Made = tuple[str, bytes]
"""The ending of a file's name, and its bytes."""


class Mutants:
    """Makes files of every kind; the methods' names are the kinds."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._number = 0

    def files(self, count: int) -> Iterator[tuple[str, bytes]]:
        """So many files, of all kinds in turn: name and bytes; a name begins with its kind."""
        kinds: list[Callable[[], Made]] = [*self._broken(), *self._whole()]
        for number in range(count):
            kind = kinds[number % len(kinds)]
            ending, data = kind()
            yield f"{kind.__name__}-{number:04d}.{ending}", data

    def big(self) -> bytes:
        """A PNG of few bytes and almost as many pixels as a run decodes."""
        return _saved(Image.new("L", (BIG, BIG), self._random.randrange(256)), "PNG")

    def _broken(self) -> list[Callable[[], Made]]:
        return [self.flipped, self.cut, self.zeros, self.noise, self.disguised, self.bomb_png, self.bomb_jpeg,
                self.bomb_gif, self.text_bomb, self.many_flipped]  # fmt: skip

    def _whole(self) -> list[Callable[[], Made]]:
        return [self.misnamed, self.animated, self.cmyk, self.deep, self.turned, self.palette]

    def flipped(self) -> Made:
        return self._flip(1)

    def many_flipped(self) -> Made:
        return self._flip(self._random.randint(2, 64))

    def cut(self) -> Made:
        ending, data = self._image()
        return ending, data[: self._random.randrange(len(data))]

    def zeros(self) -> Made:
        return self._ending(), bytes(self._random.choice([0, 1, 100, 5000]))

    def noise(self) -> Made:
        return self._ending(), self._random.randbytes(self._random.randint(1, 4000))

    def disguised(self) -> Made:
        ending, data = self._image()
        return ending, data[: self._random.randint(4, 40)] + self._random.randbytes(2000)

    def bomb_png(self) -> Made:
        size = struct.pack(">II5B", ABSURD, ABSURD + self._random.randrange(1000), 8, 2, 0, 0, 0)
        body = zlib.compress(bytes(100_000))
        return "png", b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")

    def bomb_jpeg(self) -> Made:
        data = _saved(self._picture(), "JPEG")
        at = data.index(b"\xff\xc0") + 5
        return "jpg", data[:at] + struct.pack(">HH", ABSURD, ABSURD + self._random.randrange(5000)) + data[at + 4 :]

    def bomb_gif(self) -> Made:
        data = bytearray(_saved(self._picture(), "GIF"))
        frame = data.index(b"\x2c", 13 + 3 * 256)
        for at in (6, frame + 5):
            data[at : at + 4] = struct.pack("<HH", 65_000, 65_000)
        return "gif", bytes(data)

    def text_bomb(self) -> Made:
        data = _saved(self._picture(), "PNG")
        text = b"Comment\0\0" + zlib.compress(bytes(80_000_000), 9)
        return "png", data[:33] + _chunk(b"zTXt", text) + data[33:]

    def misnamed(self) -> Made:
        _, data = self._image()
        return self._ending(), data

    def animated(self) -> Made:
        frames = [self._picture(48) for _ in range(5)]
        ending = self._random.choice(["gif", "webp"])
        return ending, _saved(frames[0], FORMATS[ending], save_all=True, append_images=frames[1:], duration=50)

    def cmyk(self) -> Made:
        return "jpg", _saved(self._picture().convert("CMYK"), "JPEG")

    def deep(self) -> Made:
        ending = self._random.choice(["png", "tiff"])
        return ending, _saved(self._picture().convert("I").point(lambda value: value * 257).convert("I;16"),
                              FORMATS[ending])  # fmt: skip

    def turned(self) -> Made:
        exif = Image.Exif()
        exif[ORIENTATION] = self._random.randint(1, 8)
        return "jpg", _saved(self._picture(), "JPEG", exif=exif)

    def palette(self) -> Made:
        return self._random.choice([("png", _saved(self._picture().convert("P"), "PNG")),
                                    ("png", _saved(self._picture().convert("LA"), "PNG"))])  # fmt: skip

    def _flip(self, times: int) -> Made:
        ending, data = self._image()
        changed = bytearray(data)
        for _ in range(times):
            changed[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        return ending, bytes(changed)

    def _image(self) -> Made:
        ending = self._ending()
        return ending, _saved(self._picture(), FORMATS[ending])

    def _ending(self) -> str:
        return self._random.choice(list(FORMATS))

    def _picture(self, size: int | None = None) -> Image.Image:
        self._number += 1
        return picture(self._random.choice(list(COLOURS)), self._number, size or self._random.choice([16, 48, 96]))


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
