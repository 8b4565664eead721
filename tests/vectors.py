"""Targets whose vectors a test chose, in real parts, ledger and index; two models of one corpus without weights."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pinery.checkpoint.listings import write_listing
from pinery.corpus.open_run import open_run
from pinery.corpus.progress import Progress
from pinery.corpus.run import HeldTarget
from pinery.models.descriptor import DIMENSION
from pinery.parquet.files import part_writer
from pinery.records import PART_SCHEMA, Item
from pinery.steps.find_index import ensure_index, find_index
from pinery.steps.make_plan import PlanOptions, make_plan
from pinery.steps.refusals import Refusals
from pinery.steps.upsert_part import upsert_part
from tests.corpora import config, item_batches
from tests.filled import opened

Vectors = NDArray[np.float32]

OLD = {"name": "descriptor", "decode": "exact", "precision": "fp32"}
NEW = {"name": "descriptor", "decode": "scaled", "precision": "fp32"}
"""Two models by their cards, of one dimension."""


def settings_of(state: Path, model: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """An inline config over a folder of images that nobody reads."""
    images = state.parent / "no-images"
    images.mkdir(exist_ok=True)
    return config(images, state, model=dict(model), **changes)


def labelled_items(labels: Sequence[str | None]) -> list[Item]:
    """An item for each label, `i0000` and so on; those without a label have no metadata."""
    texts = ["{}" if label is None else json.dumps({"label": label}) for label in labels]
    return [Item(f"i{at:04}", f"file:///i{at:04}", "v1", 1, text) for at, text in enumerate(texts)]


def vectors(seed: int, rows: int, near: Sequence[int] | None = None, spread: float = 1.0) -> Vectors:
    """Random vectors, shape (rows, DIMENSION); with `near`, each lies about the centre of that number."""
    chooser = np.random.default_rng(seed)
    found = spread * chooser.normal(size=(rows, 24))
    if near is not None:
        found += np.random.default_rng(0).normal(size=(max(near) + 1, 24))[list(near)]
    return np.pad(found, ((0, 0), (0, DIMENSION - 24))).astype(np.float32)


def write_part(path: Path, items: Sequence[Item], values: Vectors | Sequence[Any], version: str = "v1") -> None:
    """Write a part's file with these rows; a value that is None is a quarantined row."""
    with part_writer(path, DIMENSION) as writer:
        rows = [None if value is None else list(value) for value in values]
        columns = [
            pa.array([item.id for item in items]),
            pa.array([version] * len(items)),
            pa.array([f"{at:064x}" for at in range(len(items))]),
            pa.array(rows, PART_SCHEMA.field("values").type),
            pa.array([None if row is not None else "no image" for row in rows], pa.string()),
        ]
        writer.append(pa.record_batch(columns, schema=PART_SCHEMA))


def written_listing(folder: Path, items: Sequence[Item]) -> Path:
    """A listing of these items."""
    path = folder / "listing-of-a-test.parquet"
    write_listing(item_batches(items), path, lambda _: None)
    return path


@contextlib.contextmanager
def filled_with(
    settings: dict[str, Any],
    items: Sequence[Item],
    values: Vectors | Sequence[Any],
    part_rows: int = 64,
    progress: Progress | None = None,
) -> Iterator[HeldTarget]:
    """The config's target in a run, its checkpoint and its index filled with these vectors; nothing goes live."""
    with open_run(opened(settings), progress=progress) as run:
        held, path = run.main, run.main.scratch / "part"
        for number, start in enumerate(range(0, len(items), part_rows)):
            write_part(path, items[start : start + part_rows], values[start : start + part_rows])
            held.target.checkpoint.publish(f"part-{number:08d}", path)
        find_index(held)
        plan = make_plan(held, written_listing(held.scratch, items), PlanOptions())
        ensure_index(held)
        for work in plan.upsert:
            upsert_part(held, work, Refusals(held, plan.sound))
        yield held
