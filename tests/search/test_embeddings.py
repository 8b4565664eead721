"""The embeddings of a corpus as a DataFrame."""

import json
from pathlib import Path

import numpy as np
import pytest

from flows.reindex import reindex
from pinery.errors import ConfigError
from pinery.search.embeddings import Embeddings
from tests.corpora import config, paint
from tests.filled import opened


def test_embeddings_are_the_live_rows(images: Path, tmp_path: Path, prefect_db: None) -> None:
    settings = config(images, tmp_path / "state")
    corpus = opened(settings)
    with pytest.raises(ConfigError, match="no listing"):
        Embeddings(corpus).to_pandas()
    (images / "blue-3.jpg").write_bytes(b"broken")
    reindex(settings)
    paint(images / "red-0.jpg", "red", 100)
    (images / "green-0.jpg").unlink()
    reindex(settings)
    frame = Embeddings(corpus).to_pandas()
    assert sorted(frame.index) == sorted({path.name for path in images.iterdir()} - {"blue-3.jpg"})
    stored = corpus.target.index.fetch(["red-0.jpg"])["red-0.jpg"]
    np.testing.assert_array_equal(frame.loc["red-0.jpg", "values"], np.float32(stored.values))
    assert json.loads(str(frame.loc["red-0.jpg", "metadata"])) == stored.metadata
