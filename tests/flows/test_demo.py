"""The README's examples of the sample corpus and of Python, and the configs that ship, work as they stand there."""

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from flows.reindex import reindex
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.search.query import Query, search
from tests.corpora import COLOURS, jpeg
from tests.filled import opened
from tests.pinecone_server.server import PineconeServer
from tests.s3_server import S3Server

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of configs and data, the working directory, in which the sample corpus was run."""
    for name in ("configs", "data"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("torchvision", "__pycache__"))
    monkeypatch.chdir(tmp_path)
    report = reindex("configs/sample.yaml")
    assert (report["listed"], report["embedded"], report["held"], report["verified"]) == (160, 160, 160, True)
    return tmp_path


def test_the_demo_finds_what_the_readme_shows(project: Path) -> None:
    shown = re.findall(r"^(\d\.\d{4})  \d\d\.\d %       (\w+) +(\S+\.jpg) ", README, re.MULTILINE)
    corpus = opened("configs/sample.yaml")
    found = search(corpus, Query(image="data/query.jpg", top_k=5, grid="demo.png")).matches
    assert [(name, label) for _, label, name in shown] == [(match.id, match.metadata["label"]) for match in found]
    assert [float(score) for score, _, _ in shown] == pytest.approx([match.score for match in found], abs=2e-3)
    assert not (project / "data" / "sample" / "query.jpg").exists(), "the corpus does not hold the query"
    with Image.open("demo.png") as drawn, Image.open(ROOT / "docs" / "demo.png") as committed:
        assert drawn.size == committed.size
    again = reindex("configs/sample.yaml")
    assert (again["unchanged"], again["attempted"], again["upserted"]) == (160, 0, 0)


def test_the_readmes_python_runs_as_it_stands(project: Path) -> None:
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)  # it is README's own text
    table, vectors = names["table"], names["vectors"]
    assert isinstance(table, pd.DataFrame)
    assert [*table.columns] == ["rank", "id", "score", "strength", "uri", "label"]
    assert len(table) == 5
    assert (vectors.index.name, [*vectors.columns], len(vectors)) == ("id", ["version", "metadata", "values"], 160)


def test_the_nightly_config_is_the_nightly_job(
    tmp_path: Path, s3_server: S3Server, pinecone_environment: PineconeServer
) -> None:
    bucket = s3_server.new_bucket()
    for label in COLOURS:
        s3_server.client().put_object(Bucket=bucket, Key=f"photos/{label}/0.jpg", Body=jpeg(label, 0))
    own = [f"source.uri=s3://{bucket}/photos", f"state=s3://{bucket}/pinery", "model=descriptor"]
    server = [f"{where}.endpoint_url={s3_server.endpoint_url}" for where in ("source", "state_s3")]
    region = ["source.region=us-east-1", "state_s3.region=us-east-1"]
    config = load_config(ROOT / "configs" / "s3-nightly.yaml", [*own, *server, *region])
    assert (config.source.kind, config.index.kind) == ("s3", "pinecone")
    assert reindex(config.model_dump(mode="json"))["upserted"] == 3
    [stored] = Corpus(config).target.index.fetch(["red/0.jpg"]).values()
    assert stored.metadata == {"label": "red"}, "labels come from the folder that an image is in"
