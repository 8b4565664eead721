"""The guides' jobs with the configs that ship: CIFAR with squeezenet's logits, a folder with CLIP; into Pinecone."""

import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from flows.reindex import reindex
from pinery.config_file import load_config
from pinery.errors import ConfigError
from pinery.search.query import Query, search
from tests.filled import opened
from tests.pinecone_server.server import PineconeServer
from tests.small_models import save_clip, squeezenet_weights
from tests.sources.test_torchvision import Archives
from tests.sources.test_torchvision import archives as archives

CONFIGS = Path(__file__).parent.parent.parent / "configs"


@pytest.fixture
def cifar(tmp_path: Path, archives: Archives, pinecone_environment: PineconeServer) -> dict[str, Any]:
    """configs/cifar.yaml over small archives of the real layout, downloaded over HTTP, and random weights."""
    weights = squeezenet_weights(tmp_path)
    overrides = [f"source.root={tmp_path / 'root'}", f"state={tmp_path / 'state'}"]
    overrides += [f"model.{key}={weights[key]}" for key in ("weights", "sha256")]
    return load_config(CONFIGS / "cifar.yaml", overrides).model_dump(mode="json")


def test_the_guides_job(cifar: dict[str, Any], pinecone_environment: PineconeServer, tmp_path: Path) -> None:
    limited = reindex(cifar, limit=3)
    had = limited["embedded"] + limited["reused"]  # both datasets may have the same picture
    assert (limited["listed"], had, limited["upserted"]) == (24, 6, 6), "3 rows of each dataset"
    report = reindex(cifar)
    assert (report["embedded"] + report["reused"], report["upserted"]) == (18, 18)
    corpus = opened(cifar)
    [stored] = corpus.target.index.fetch(["CIFAR10.3"]).values()
    assert len(stored.values) == 1000
    assert stored.metadata == {"label": torchvision.datasets.CIFAR10(tmp_path / "root").classes[0]}

    dataset = torchvision.datasets.CIFAR10(tmp_path / "root")
    dataset[3][0].save(tmp_path / "query.png")
    by_file = search(corpus, Query(image=str(tmp_path / "query.png"), top_k=3, grid=str(tmp_path / "grid.png")))
    by_id = search(corpus, Query(id="CIFAR10.3", top_k=3))
    assert [match.id for match in by_file.matches] == [match.id for match in by_id.matches]
    assert by_file.matches[0].id == "CIFAR10.3"
    assert by_file.matches[0].score == pytest.approx(1, abs=1e-5)
    assert by_file.matches[0].uri == "torchvision://CIFAR10/train/3"
    assert by_file.to_pandas()["label"].tolist()[0] == stored.metadata["label"]
    with Image.open(tmp_path / "grid.png") as grid:
        assert len(np.unique(np.asarray(grid).reshape(-1, 3), axis=0)) > 100
    with served(tmp_path) as url:
        assert search(corpus, Query(image=f"{url}/query.png", top_k=3)).matches == by_file.matches
        with pytest.raises(ConfigError, match="there is nothing at"):
            search(corpus, Query(image=f"{url}/none.png"))
    apples = search(corpus, Query(id="CIFAR10.3", filter={"label": {"$eq": "apple"}})).matches
    assert {match.metadata["label"] for match in apples} == {"apple"}
    with pytest.raises(ConfigError, match="no text tower"):
        search(corpus, Query(text="a seal"))


def test_the_apps_job(images: Path, tmp_path: Path, pinecone_environment: PineconeServer, tiny_clip: Path) -> None:
    overrides = [f"source.path={images}", f"state={tmp_path / 'state'}", f"model=clip:{tiny_clip}"]
    settings = load_config(CONFIGS / "clip-folder.yaml", overrides).model_dump(mode="json")
    assert reindex(settings)["upserted"] == 12
    corpus = opened(settings)
    id = hashlib.md5(b"red-1.jpg").hexdigest()
    [stored] = corpus.target.index.fetch([id]).values()
    assert stored.metadata == {"imagePath": "red-1.jpg"}
    assert corpus.target.entry.namespace == "default"
    assert len(search(corpus, Query(text="a red square", top_k=4)).matches) == 4


class served:
    """A folder over HTTP."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(Quiet, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the test output quiet."""


@pytest.fixture
def tiny_clip(tmp_path: Path) -> Path:
    """A tiny CLIP in the real format."""
    return save_clip(tmp_path / "models" / "tiny-clip")
