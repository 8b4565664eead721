"""The door for Python programs: what it gives, what it imports, and that the pages' examples run as they stand."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pinery
from pinery.config_file import load_config
from pinery.errors import ConfigError
from tests.filled import bring

ROOT = Path(__file__).parent.parent
SLOW = ("torch", "prefect", "lancedb", "duckdb", "pandas", "pyarrow", "numpy", "pydantic", "boto3", "PIL")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which configs/sample.yaml has been run."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("configs", "data"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("torchvision", "__pycache__"))
    bring(load_config(folder / "configs" / "sample.yaml").model_dump(mode="json"))
    return folder


def test_the_examples_of_the_page_run_as_they_stand(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sample)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), names)  # it is the page's own text
    assert names["hits"].to_pandas()["id"].tolist()
    assert (len(names["ids"]), names["vectors"].shape, len(names["frame"])) == (160, (160, 512), 160)
    assert (names["preview"].to_upsert, names["status"].generation, names["report"].state) == (0, 1, "done")


def test_what_the_page_says_of_a_strong_match_is_so(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sample)
    corpus = pinery.open("configs/sample.yaml")
    with corpus.searcher(wait_for_strengths=True) as searcher:
        answers = {id: searcher.by_id(id, top_k=2) for id in corpus.embeddings().to_numpy()[0]}
        strong = [id for id, hits in answers.items() if hits.strong]
        assert {hits.strong_from for hits in answers.values()} == {0.95}
        assert 0.70 < len(strong) / len(answers) < 0.78
        others = {id: next(hit for hit in answers[id] if hit.id != id) for id in strong}
        assert all(hit.metadata["label"] == id.split("-")[0] for id, hit in others.items())
        for plain in junk():
            assert searcher.by_image(plain).strong is False


def junk() -> list[Any]:
    import numpy as np
    from PIL import Image

    board = np.kron(np.indices((20, 20)).sum(0) % 2 * 255, np.ones((10, 10))).astype(np.uint8)
    stripes = (np.indices((200, 200))[0] // 5 % 2 * 255).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    plain = [Image.new("RGB", (200, 200), colour) for colour in ("black", "white", "red")]
    return [*plain, *(Image.fromarray(one) for one in (board, stripes, noise))]


def test_importing_pinery_imports_nothing_slow() -> None:
    code = f"import sys, pinery; print([name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_corpus_tells_its_plan_its_status_and_its_last_report(filled: dict[str, Any]) -> None:
    corpus = pinery.open(filled)
    preview, status, report = corpus.plan(), corpus.status(), corpus.report()
    assert (preview.listed, preview.to_upsert, corpus.plan(limit=3).limited) == (12, 0, 3)
    assert (status.generation, status.held) == (1, 12)
    assert report is not None
    assert (report.state, report.upserted) == ("done", 12)
    assert pinery.open(filled, ["corpus=another"]).report() is None
    with pytest.raises(ConfigError, match="there is no config file"):
        pinery.open("configs/none.yaml")
