"""The page on reading the index from elsewhere: the SDK's example as it stands, and what it says of the metadata."""

import datetime
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.reindex import reindex
from pinery.config_file import load_config
from pinery.indexes.protocol import Index
from tests.corpora import config
from tests.filled import opened
from tests.pinecone_server.server import PineconeServer

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "reading-the-index.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^### ([^\n]*)\n\n```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


def test_the_sdk_finds_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinecone_environment: PineconeServer
) -> None:
    reading = re.search(r"```yaml\nsource:\n  (.*?): (.*?)\n```", PAGE)
    assert reading
    settings = load_config(
        ROOT / "configs" / "sample.yaml",
        [f"source.{reading[1]}={reading[2]}", "index.kind=pinecone", f"state={tmp_path / 'state'}"],
    )
    report = reindex(settings.model_dump(mode="json"))
    monkeypatch.setenv("INDEX", report["index"])
    monkeypatch.setenv("NAMESPACE", report["namespace"])
    said = subprocess.run(
        [sys.executable, "-c", EXAMPLES["Pinecone's SDK"]], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(said) == 5
    for line in said:
        score, id, uri = line.split()
        assert re.fullmatch(r"[01]\.\d{3}", score)
        assert re.fullmatch(r"sunset-\d+\.jpg", id)
        assert uri == f"file://{ROOT / 'data' / 'sample' / id}"


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_each_example_is_python_and_reads_the_key_that_the_page_sets(example: str) -> None:
    compile(EXAMPLES[example], example, "exec")
    assert '"uri"' in EXAMPLES[example]


def test_lists_of_numbers_and_dates_are_texts(images: Path, tmp_path: Path) -> None:
    day = datetime.date(2024, 5, 1)
    pq.write_table(pa.table({"id": ["red-0.jpg"], "sizes": [[3, 4]], "day": [day]}), tmp_path / "sidecar.parquet")
    index = filled(images, tmp_path / "sidecar.parquet")
    assert index.fetch(["red-0.jpg"])["red-0.jpg"].metadata == {"sizes": ["3", "4"], "day": "2024-05-01"}
    counts = [len(index.query([1.0] * 512, 5, {"sizes": {"$in": [wanted]}})) for wanted in ("3", 3)]
    assert counts == [1, 0]


def test_a_column_with_00501_is_text_in_all_rows(images: Path, tmp_path: Path) -> None:
    (tmp_path / "sidecar.csv").write_text("id,zip\nred-0.jpg,00501\nred-1.jpg,10115\n")
    found = filled(images, tmp_path / "sidecar.csv").fetch(["red-0.jpg", "red-1.jpg"])
    assert {id: row.metadata["zip"] for id, row in found.items()} == {"red-0.jpg": "00501", "red-1.jpg": "10115"}


def filled(images: Path, sidecar: Path) -> Index:
    source = {"kind": "folder", "path": str(images), "sidecar": str(sidecar)}
    settings = config(images, sidecar.parent / "state", source=source)
    reindex(settings)
    return opened(settings).target.index
