"""The embeddings of a corpus as a DataFrame."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pinery.corpus.open_run import open_run
from pinery.errors import ConfigError
from pinery.search.embeddings import COLUMNS, Embeddings
from pinery.steps.list_items import Listing, publish_listing
from tests.corpora import config, paint
from tests.filled import bring, opened
from tests.vectors import OLD, filled_with, labelled_items, settings_of, write_part, written_listing
from tests.vectors import vectors as vectors_of


def test_embeddings_are_the_live_rows(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    corpus = opened(settings)
    with pytest.raises(ConfigError, match="no listing"):
        Embeddings(corpus).to_pandas()
    (images / "blue-3.jpg").write_bytes(b"broken")
    bring(settings)
    paint(images / "red-0.jpg", "red", 100)
    (images / "green-0.jpg").unlink()
    bring(settings)
    frame = Embeddings(corpus).to_pandas()
    assert sorted(frame.index) == sorted({path.name for path in images.iterdir()} - {"blue-3.jpg"})
    stored = corpus.target.index.fetch(["red-0.jpg"])["red-0.jpg"]
    np.testing.assert_array_equal(frame.loc["red-0.jpg", "values"], np.float32(stored.values))
    assert json.loads(str(frame.loc["red-0.jpg", "metadata"])) == stored.metadata
    table = Embeddings(corpus).to_arrow()
    assert table.column_names == COLUMNS
    assert table["id"].to_pylist() == frame.index.tolist()
    ids, vectors = Embeddings(corpus).to_numpy()
    assert (ids, vectors.shape, vectors.dtype) == (frame.index.tolist(), (10, 512), np.float32)
    np.testing.assert_array_equal(vectors, np.stack(frame["values"].tolist()))


def test_a_corpus_without_a_live_vector_has_embeddings_without_rows(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "state", OLD)
    items = labelled_items(["a", "b"])
    with filled_with(settings, items, [None, None]) as held:
        publish_listing(held.run, Listing(written_listing(held.scratch, items)))
    embeddings = Embeddings(opened(settings))
    ids, vectors = embeddings.to_numpy()
    assert (ids, len(vectors), embeddings.to_arrow().num_rows, len(embeddings.to_pandas())) == ([], 0, 0, 0)
    assert embeddings.to_arrow().column_names == COLUMNS


def test_batches_are_read_in_a_memory_that_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    rows, part_rows = 24_000, 8_000
    settings = settings_of(tmp_path / "state", OLD)
    items = labelled_items([None] * rows)
    with open_run(opened(settings)) as run:
        for number in range(rows // part_rows):
            part = slice(number * part_rows, (number + 1) * part_rows)
            write_part(run.main.scratch / "part", items[part], vectors_of(number, part_rows))
            run.main.target.checkpoint.publish(f"part-{number:08d}", run.main.scratch / "part")
        publish_listing(run, Listing(written_listing(run.main.scratch, items)))
    before, most, seen = pa.total_allocated_bytes(), 0, 0
    for batch in Embeddings(opened(settings)).batches():
        assert batch.num_rows <= 1024
        seen += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert seen == rows
    assert most < 16 << 20 < rows * 512 * 4 // 2, "row groups of 4 MiB, one part's keys and the metadata of one part"
