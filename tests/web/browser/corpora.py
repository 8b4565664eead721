"""The corpora that the browser is shown: small ones with an index, and one of a million items."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from pinery.checkpoint.alias import write_alias
from pinery.checkpoint.listings import write_listing
from pinery.records import LISTING_SCHEMA
from pinery.reports import ChangedQuery, Gate, Neighbour
from tests.corpora import config
from tests.filled import bring, opened
from tests.processes import write_config
from tests.small_models import save_clip

COLOURS = {"red": (205, 62, 48), "green": (70, 150, 84), "blue": (52, 96, 190)}
BIRDS = 26
PHOTOS = 3 * BIRDS
MILLION = 1_000_000
REPEATED = 8


def photo(label: str, number: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """A picture of a few circles on the label's colour; every (label, number) is another one."""
    random = np.random.default_rng([number, *label.encode()])
    image = Image.new("RGB", size, COLOURS[label])
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y, r = (int(value) for value in random.integers(8, 88, 3))
        draw.ellipse((x - r // 3, y - r // 3, x + r // 3, y + r // 3), fill=tuple(random.integers(0, 255, 3).tolist()))
    return image


def photos(folder: Path) -> Path:
    """A corpus with labels, years, names and tags, a broken image, a kept second index, and the report of a gate."""
    images = folder / "images"
    images.mkdir(parents=True)
    rows = ["id,year,place,tags"]
    for at, label in enumerate(COLOURS):
        for number in range(BIRDS):
            name = f"{label}-{number:02}.jpg"
            photo(label, number).save(images / name, quality=88)
            tags = "wide|bright" if number % 2 else "wide"
            rows.append(f"{name},{1990 + number},place {at * BIRDS + number:03},{tags}")
    broken = (images / "red-00.jpg").read_bytes()
    (images / "red-broken.jpg").write_bytes(broken[: len(broken) // 2])
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    settings = config(images, folder / "state", corpus="photos", run={"part_rows": 1000})
    settings["source"] |= {"sidecar": str(folder / "labels.csv"), "sidecar_types": {"tags": "list"}}
    bring(settings)
    _keep_another(settings)
    _report_a_gate(settings)
    return write_config(folder / "photos.yaml", settings)


def words(folder: Path) -> Path:
    """A corpus of twelve images whose model reads texts."""
    images = folder / "images"
    images.mkdir(parents=True)
    for label in COLOURS:
        for number in range(4):
            photo(label, number).save(images / f"{label}-{number}.jpg")
    model = {"name": f"clip:{save_clip(folder / 'clip')}", "precision": "fp32"}
    settings = config(images, folder / "state", corpus="words", model=model)
    bring(settings)
    return write_config(folder / "words.yaml", settings)


def million(folder: Path) -> Path:
    """A corpus of a million items that show a few pictures again and again; it has a listing and no index."""
    images = folder / "images"
    images.mkdir(parents=True)
    labels = list(COLOURS)
    for number in range(REPEATED):
        photo(labels[number % 3], number).save(images / f"{number}.jpg")
    settings = config(images, folder / "state", corpus="million")
    settings["source"].pop("metadata")
    corpus = opened(settings)
    known = [item for batch in corpus.source.list_batches() for item in batch.to_pylist()]
    listing = folder / "listing.parquet"
    write_listing(_repeated(known, labels), listing, lambda _: None)
    corpus.store.publish(corpus.paths.listing("20260101T000000000000Z-aaaaaa"), listing)
    return write_config(folder / "million.yaml", settings)


def _repeated(known: list[dict[str, Any]], labels: list[str], step: int = 50_000) -> Iterator[pa.RecordBatch]:
    for start in range(0, MILLION, step):
        at = range(start, start + step)
        chosen = [known[number % len(known)] for number in at]
        columns: dict[str, list[Any]] = {name: [one[name] for one in chosen] for name in LISTING_SCHEMA.names}
        columns["id"] = [f"item-{number:07}.jpg" for number in at]
        columns["metadata"] = [json.dumps({"label": labels[number % 3]}) for number in at]
        yield pa.RecordBatch.from_pydict(columns, schema=LISTING_SCHEMA)


def _keep_another(settings: dict[str, Any]) -> None:
    """Fill a second index with another model, and keep it beside the live one."""
    corpus = opened(settings)
    live = corpus.alias()[0].live
    assert live is not None
    corpus = opened(settings)
    alias, tag = corpus.alias()
    write_alias(corpus.store, corpus.paths.alias, replace(alias, live=None), tag)
    bring(
        settings | {"model": {"name": "descriptor", "decode": "scaled"}, "index": {"kind": "lance", "name": "scaled"}}
    )
    corpus = opened(settings)
    alias, tag = corpus.alias()
    assert alias.live is not None
    kept = replace(alias.live, until="2999-01-01T00:00:00+00:00")
    write_alias(corpus.store, corpus.paths.alias, replace(alias, live=live, kept=[kept], retired=[]), tag)


def _report_a_gate(settings: dict[str, Any]) -> None:
    """Write a gate's judgement into the newest report, as a backfill does."""
    corpus = opened(settings)
    near = (Neighbour("red-01.jpg", 0.9), Neighbour("red-02.jpg", 0.8))
    changed = tuple(ChangedQuery(f"blue-{n:02}.jpg", 0.1 * n, 0.09 * n, near, near[::-1]) for n in range(10))
    gate = Gate("pass", ("It is as good.",), 100, 1.0, 0.6, 0.7, None, changed, 1.0)
    name = f"{corpus.paths.runs}/{max(corpus.store.names(corpus.paths.runs))}"
    found = corpus.store.read(name)
    assert found is not None
    report = json.loads(found[0]) | {"gate": gate.to_dict()}
    path = Path(corpus.store.local(name))
    path.write_text(json.dumps(report))


def editable(folder: Path) -> Path:
    """A corpus of twelve images in a folder that visitors may change."""
    images = folder / "images"
    images.mkdir(parents=True)
    for label in COLOURS:
        for number in range(4):
            photo(label, number).save(images / f"{label}-{number}.jpg")
    settings = config(images, folder / "state", corpus="editable")
    bring(settings)
    return write_config(folder / "editable.yaml", settings)
