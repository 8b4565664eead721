"""Embedding as a library of its own: a folder into a part's file, without Prefect, DuckDB, LanceDB or boto3."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pinery.records import PART_SCHEMA

ALONE = '''
import importlib, importlib.abc, json, pkgutil, sys
from pathlib import Path

class Absent(importlib.abc.MetaPathFinder):
    """Makes packages look as if they were not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("prefect", "duckdb", "lancedb", "pinecone", "boto3", "botocore"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
images, items, part = map(Path, sys.argv[1:])

import pinery.embedding, pinery.imaging, pinery.models
for room in (pinery.embedding, pinery.models, pinery.imaging):
    for module in pkgutil.iter_modules(room.__path__, room.__name__ + "."):
        if not module.name.endswith("_s3"):
            importlib.import_module(module.name)

from pinery.checkpoint.listings import write_listing
from pinery.config import Config
from pinery.embedding.job import Job, Order
from pinery.embedding.part import PartMaker
from pinery.models.registry import load
from pinery.records import Work
from pinery.sources import open_source

class Watch:
    stopping, seen = False, 0

    def on_batch(self, batch):
        self.seen += batch.items

    def note(self, text):
        raise AssertionError(text)

class Nothing:
    def find(self, sha256):
        return {}

config = Config(corpus="x", source={"kind": "folder", "path": str(images)}, model="descriptor", state="unused")
source = open_source(config.source)
rows = write_listing(source.list_batches(), items, lambda _: None)
model, watch = load(config.model), Watch()
job = Job(config, model.card, Nothing, threads=2, fetch_threads=4, pixels=1 << 27, expected=rows)
order = Order(Work("part-00000000", items, 0, rows), part)
report = PartMaker(job, source, Nothing(), lambda: model).make(order, watch)
print(json.dumps([report.rows, report.embedded, report.quarantined, watch.seen]))
'''


def test_a_folder_becomes_a_part_without_the_pipeline_installed(images: Path, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes(b"no image")
    part = tmp_path / "part.parquet"
    command = [sys.executable, "-c", ALONE, str(images), str(tmp_path / "items.parquet"), str(part)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [13, 12, 1, 13]
    table = pq.read_table(part)
    assert table.schema.equals(PART_SCHEMA)
    rows = {row["id"]: row for row in table.to_pylist()}
    assert rows["broken.png"]["values"] is None
    vectors = np.array([row["values"] for id, row in rows.items() if id != "broken.png"])
    assert vectors.shape == (12, 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
