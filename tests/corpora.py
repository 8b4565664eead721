"""Small images made by the tests, and the runs over them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pinery.records import LISTING_SCHEMA, Item

if TYPE_CHECKING:
    from pinery.sources import Source

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 50, 210)}


def picture(label: str, number: int, size: int = 48) -> Image.Image:
    """A picture mostly of the label's colour; every (label, number) has other pixels."""
    noise = np.random.default_rng([number, *label.encode()]).integers(0, 60, (size, size, 3))
    return Image.fromarray(np.clip(np.asarray(COLOURS[label]) + noise - 30, 0, 255).astype(np.uint8))


def jpeg(label: str, number: int) -> bytes:
    """The picture as JPEG."""
    out = io.BytesIO()
    picture(label, number).save(out, "JPEG", quality=90)
    return out.getvalue()


def paint(path: Path, label: str, number: int) -> None:
    """Write the picture to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(label, number))


def config(images: Path, state: Path | str, **changes: Any) -> dict[str, Any]:
    """An inline config: a folder into the embedded index, parts of five rows."""
    return {
        "corpus": "test",
        "source": {"kind": "folder", "path": str(images), "metadata": "^(?P<label>[^-]+)-"},
        "model": "descriptor",
        "index": {"kind": "lance"},
        "state": str(state),
        "run": {"part_rows": 5},
    } | changes


def item_batches(items: Iterable[Item]) -> Iterator[pa.RecordBatch]:
    """The items as a source lists them, 1000 rows at a time."""
    waiting = iter(items)
    while some := list(itertools.islice(waiting, 1000)):
        yield pa.RecordBatch.from_pylist([asdict(one) for one in some], schema=LISTING_SCHEMA)


def listed_items(source: Source) -> list[Item]:
    """Everything that a source lists."""
    return [Item(**row) for batch in source.list_batches() for row in batch.to_pylist()]
