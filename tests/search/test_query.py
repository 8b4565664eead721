"""A query of the command line: how images and words are told apart, and what a search needs to be imported."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinery.errors import ConfigError, NoTextTowerError
from pinery.search.query import Query, search
from pinery.search.vectors import ById
from tests.filled import opened
from tests.processes import write_config

HEAVY = ("torch", "prefect", "duckdb", "PIL", "boto3", "transformers", "pinecone")


def found(settings: dict[str, Any], **query: Any) -> list[tuple[str, float]]:
    return [(hit.id, round(hit.score, 5)) for hit in search(opened(settings), Query(**query)).matches]


def test_a_file_or_an_address_is_an_image_and_anything_else_is_words(
    filled: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(filled["source"]["path"])
    monkeypatch.chdir(folder)
    by_path = found(filled, id="red-0.jpg", plus=[str(folder / "green-0.jpg")], minus=["blue-0.jpg"])
    import pinery

    with pinery.open(filled).searcher() as searcher:
        expected = searcher.search(ById("red-0.jpg"), plus=[ById("green-0.jpg")], minus=[ById("blue-0.jpg")])
    assert [one for one, _ in by_path] == [hit.id for hit in expected]
    assert [score for _, score in by_path] == pytest.approx([hit.score for hit in expected], abs=1e-3)
    assert found(filled, plus=["red-0.jpg"])[0] == ("red-0.jpg", 1.0)
    for words in ("no-such-file.jpg", "a frog", "x" * 5000, "~nobody/red.jpg", "."):
        with pytest.raises(NoTextTowerError):
            found(filled, id="red-0.jpg", plus=[words])
    with pytest.raises(ConfigError, match="http://127"):
        found(filled, id="red-0.jpg", minus=["http://127.0.0.1:9/none.jpg"])


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ({}, "give exactly one of `image`, `text` and `id`, not none"),
        ({"id": "a", "text": "b"}, "not text and id"),
        ({"id": "a", "text": "b", "plus": ["c"]}, "not text and id"),
        ({"minus": ["c"]}, "not none"),
        ({"plus": ["c"], "grid": "none/x.png"}, "there is no folder"),
    ],
    ids=["none", "two", "two-and-plus", "minus", "grid"],
)
def test_a_query_is_one_thing_and_what_is_added_to_it(filled: dict[str, Any], query: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        search(opened(filled), Query(**query))


def test_a_combination_is_drawn(filled: dict[str, Any], tmp_path: Path) -> None:
    image = str(Path(filled["source"]["path"]) / "green-0.jpg")
    for name, query in {"a": {"id": "red-0.jpg", "minus": [image]}, "b": {"plus": [image]}}.items():
        answer = search(opened(filled), Query(**query, grid=str(tmp_path / f"{name}.png")))  # type: ignore[arg-type]
        assert answer.grid is not None
        assert answer.grid.stat().st_size > 1000
    with pytest.raises(ConfigError, match="no item matches"):
        search(opened(filled), Query(id="red-0.jpg", filter={"label": "none"}, grid=str(tmp_path / "c.png")))


def test_a_search_by_id_imports_neither_torch_nor_prefect(filled: dict[str, Any], tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.yaml", filled)
    code = f"""
import sys
from flows.cli.commands import main
try:
    main(["search", {str(path)!r}, "--id", "red-0.jpg", "--json"])
except SystemExit as error:
    assert error.code in (0, None), error.code
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr.strip() == "[]"
    told = json.loads(done.stdout)
    assert told["matches"][0] | {"score": 1} == {
        "rank": 1,
        "id": "red-0.jpg",
        "score": 1,
        "metadata": {"label": "red"},
        "uri": (Path(filled["source"]["path"]) / "red-0.jpg").as_uri(),
        "strength": None,
    }
    assert (told["strong"], told["generation"]) == (None, 1)
