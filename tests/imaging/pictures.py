"""Pictures with detail at every size, as photographs have it."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture whose contrast falls with the size of its details, the same for the same seed."""
    rng = np.random.default_rng(seed)
    values = np.zeros((height, width, 3), np.float32)
    cells = 4
    while cells <= max(width, height):
        shape = (max(1, height * cells // max(width, height)), max(1, width * cells // max(width, height)))
        for channel in range(3):
            small = Image.fromarray(rng.normal(0, 1, shape).astype(np.float32))
            values[..., channel] += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)) / cells**0.8
        cells *= 2
    values = (values - values.mean()) / values.std() * 50 + 120
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    """The picture as JPEG; options are Pillow's."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def tiff(
    values: np.ndarray[Any, Any],
    photometric: int = 1,
    order: str = "<",
    packed: bool = False,
    planes: bool = False,
    extra: tuple[int, ...] = (),
    compression: int = 1,
) -> bytes:
    """Values (height, width) or (height, width, channels) of any type as a TIFF of one strip, or one a plane.

    `photometric`, `extra` and `compression` are the tags of that name; `packed` deflates. `order` is `<` or `>`.
    """
    height, width, channels = (*values.shape, 1)[:3]
    values = values.reshape(height, width, channels)
    strips = [values[..., at] for at in range(channels)] if planes else [values]
    stored = [strip.astype(values.dtype.newbyteorder(order)).tobytes() for strip in strips]
    data = [zlib.compress(strip) if packed else strip for strip in stored]
    form = {"u": 1, "i": 2, "f": 3, "c": 6}[values.dtype.kind]
    offsets = [8 + sum(map(len, data[:at])) for at in range(len(data))]
    size = {256: [width], 257: [height], 258: [values.dtype.itemsize * 8] * channels, 277: [channels], 278: [height]}
    kind = {259: [8 if packed else compression], 262: [photometric], 338: list(extra), 339: [form] * channels}
    where = {273: offsets, 279: [len(strip) for strip in data], 284: [2 if planes else 1]}
    tags = dict(sorted((size | kind | where).items()))
    return _tiff(data, {tag: numbers for tag, numbers in tags.items() if numbers}, order)


def _tiff(data: list[bytes], tags: dict[int, list[int]], order: str) -> bytes:
    at = 8 + sum(map(len, data))
    beyond, entries = at + 2 + 12 * len(tags) + 4, []
    tail = b""
    for tag, numbers in tags.items():
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        inside = packed if len(packed) == 4 else struct.pack(f"{order}I", beyond + len(tail))
        tail += b"" if len(packed) == 4 else packed
        entries.append(struct.pack(f"{order}HHI", tag, 4, len(numbers)) + inside)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, at)
    return head + b"".join(data) + struct.pack(f"{order}H", len(tags)) + b"".join(entries) + bytes(4) + tail
