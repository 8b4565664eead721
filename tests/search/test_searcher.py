"""A searcher that is opened once: what it answers, what it refuses, and what it follows."""

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pinery
from pinery.checkpoint.alias import write_alias
from pinery.errors import (
    BadFilterError,
    BadQueryImageError,
    BadVectorError,
    IndexMismatchError,
    NoLiveIndexError,
    NoTextTowerError,
    QueryError,
    TransientError,
    UnknownIndexError,
    UnknownItemError,
)
from pinery.search.hits import Hits
from pinery.search.live import FRESH_SECONDS
from pinery.search.searcher import Searcher
from pinery.search.vectors import ById
from pinery.steps.promote import promote, rollback
from tests.corpora import config, paint, picture
from tests.filled import bring, opened
from tests.pinecone_server.server import PineconeServer
from tests.processes import wait_until
from tests.small_models import save_clip, squeezenet_weights


@pytest.fixture(params=[pytest.param("lance", marks=pytest.mark.slow), "pinecone"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """A corpus of twelve images, with each kind of index."""
    if request.param == "lance":
        return dict(request.getfixturevalue("filled"))
    server: PineconeServer = request.getfixturevalue("prompt_server")
    environment: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in server.environment.items():
        environment.setenv(name, value)
    made = config(request.getfixturevalue("images"), tmp_path / "state", index={"kind": "pinecone"})
    bring(made)
    return made


@pytest.fixture
def searcher(settings: dict[str, Any]) -> Iterator[Searcher]:
    with pinery.open(settings).searcher() as made:
        yield made


def image_of(settings: dict[str, Any], name: str) -> Path:
    return Path(settings["source"]["path"]) / name


def ids(hits: Hits) -> list[str]:
    return [hit.id for hit in hits]


def test_an_image_is_bytes_a_path_or_pillows_and_each_finds_itself(
    searcher: Searcher, settings: dict[str, Any]
) -> None:
    path = image_of(settings, "red-1.jpg")
    with Image.open(path) as image:
        found = [searcher.by_image(one, top_k=3) for one in (path.read_bytes(), path, image)]
    assert ids(found[0]) == ids(found[1]) == ids(found[2])
    first = found[0][0]
    assert (first.rank, first.id, round(first.score, 4), first.metadata) == (1, "red-1.jpg", 1, {"label": "red"})
    assert first.uri == path.as_uri()
    assert [hit.rank for hit in found[0]] == [1, 2, 3]


def test_an_item_is_found_by_its_id_and_has_neighbours(searcher: Searcher, settings: dict[str, Any]) -> None:
    hits = searcher.by_id("red-1.jpg", top_k=4)
    assert hits[0].id == "red-1.jpg"
    assert {hit.metadata["label"] for hit in hits} == {"red"}
    assert ids(searcher.by_id("red-1.jpg", top_k=20, filter={"label": "blue"})) == [
        one for one in ids(searcher.by_id("red-1.jpg", top_k=20)) if one.startswith("blue")
    ]
    alias = opened(settings).alias()[0]
    assert alias.live is not None
    assert (hits.index, hits.model_key, hits.generation) == (alias.live.name, alias.live.card.key, 1)
    frame = hits.to_pandas()
    assert frame.columns.tolist() == ["rank", "id", "score", "strength", "uri", "label"]
    assert frame["id"].tolist() == ids(hits)
    assert json.loads(json.dumps(hits.to_dict()))["matches"][0]["id"] == "red-1.jpg"


def test_a_vector_of_a_query_finds_what_the_query_finds(searcher: Searcher, settings: dict[str, Any]) -> None:
    path = image_of(settings, "green-2.jpg")
    for query in (path, ById("green-2.jpg")):
        vector = searcher.vector_of(query)
        assert (vector.values.shape, vector.values.dtype) == ((512,), np.float32)
        assert searcher.by_vector(vector).hits == searcher.search(query).hits
        assert ids(searcher.by_vector(np.asarray(vector))) == ids(searcher.search(query))
        assert ids(searcher.by_vector(vector.values.tolist())) == ids(searcher.search(query))


def test_terms_are_added_and_subtracted_as_unit_vectors(searcher: Searcher) -> None:
    def unit(name: str) -> Any:
        values = searcher.vector_of(ById(name)).values.astype(np.float64)
        return values / np.linalg.norm(values)

    red, green, blue = (f"{colour}-0.jpg" for colour in ("red", "green", "blue"))
    expected = unit(red) + unit(green) - unit(blue)
    found = searcher.search(ById(red), plus=[ById(green)], minus=[ById(blue)], top_k=12)
    exact = {f"{colour}-{n}.jpg" for colour in ("red", "green", "blue") for n in range(4)}
    scores = {one: float(expected @ unit(one) / np.linalg.norm(expected)) for one in exact}
    assert ids(found) == sorted(scores, key=lambda one: -scores[one])
    np.testing.assert_allclose([hit.score for hit in found], [scores[hit.id] for hit in found], atol=1e-5)
    longer = 40 * searcher.vector_of(ById(green)).values
    assert ids(searcher.search(ById(red), plus=[longer], minus=[ById(blue)], top_k=12)) == ids(found)
    assert ids(searcher.search(plus=[ById(red)])) == ids(searcher.by_id(red))
    with pytest.raises(BadVectorError, match="cancel each other out"):
        searcher.search(ById(red), minus=[ById(red)])
    with pytest.raises(BadVectorError, match="the query is empty"):
        searcher.search(minus=[ById(red)])
    with pytest.raises(BadVectorError, match="length 0"):
        searcher.search(ById(red), plus=[np.zeros(512)])


WRONG = [
    "id",
    "no-id",
    "long-id",
    "half-id",
    "none",
    "too-many",
    "half",
    "text",
    "image",
    "empty",
    "path",
    "words",
    "object",
    "dimension",
    "nan",
    "filter",
    "index",
]


@pytest.mark.parametrize(
    ("ask", "error", "match"),
    [
        (lambda s: s.by_id("none.jpg"), UnknownItemError, "has no item 'none.jpg'"),
        (lambda s: s.by_id(""), UnknownItemError, "has no item ''"),
        (lambda s: s.by_id("x" * 5000 + "\n"), UnknownItemError, "has no item 'xxx"),
        (lambda s: s.by_id("caf\u00e9\ud800"), UnknownItemError, "has no item"),
        (lambda s: s.by_id("red-0.jpg", top_k=0), QueryError, "top_k is 0; it can be 1 to 10,000"),
        (lambda s: s.by_id("red-0.jpg", top_k=10_001), QueryError, "top_k is 10001"),
        (lambda s: s.by_text("a \ud800"), QueryError, "not valid Unicode"),
        (lambda s: s.by_text("a frog"), NoTextTowerError, "no text tower"),
        (lambda s: s.by_image(b"no image"), BadQueryImageError, "can't search by the image"),
        (lambda s: s.by_image(b""), BadQueryImageError, "empty"),
        (lambda s: s.by_image(Path("/no/such/file.jpg")), BadQueryImageError, "/no/such/file.jpg"),
        (lambda s: s.by_image("/etc/passwd"), QueryError, "not a text"),
        (lambda s: s.by_image(object()), BadVectorError, "can't be of type object"),
        (lambda s: s.by_vector([1.0, 2.0]), BadVectorError, "takes 512 finite numbers"),
        (lambda s: s.by_vector([float("nan")] * 512), BadVectorError, "finite"),
        (lambda s: s.by_id("red-0.jpg", filter={"label": {"$like": "r"}}), BadFilterError, r"\$like"),
        (lambda s: s.by_id("red-0.jpg", index="nope"), UnknownIndexError, "no index 'nope'"),
    ],
    ids=WRONG,
)
def test_what_is_wrong_with_a_query_has_a_type_of_its_own(
    searcher: Searcher, ask: Any, error: type[QueryError], match: str
) -> None:
    with pytest.raises(error, match=match):
        ask(searcher)
    assert searcher.by_id("red-0.jpg").hits, "and the next query is answered"


def test_an_image_over_the_limits_is_refused(filled: dict[str, Any]) -> None:
    with pinery.open(filled | {"run": {"max_bytes": 500, "max_pixels": 1000}}).searcher() as searcher:
        for image in (image_of(filled, "red-0.jpg"), image_of(filled, "red-0.jpg").read_bytes()):
            with pytest.raises(BadQueryImageError, match=r"larger than run\.max_bytes \(500\)"):
                searcher.by_image(image)
        with pytest.raises(BadQueryImageError, match="more than 1,000 pixels"):
            searcher.by_image(picture("red", 0))


def test_before_the_first_run_nothing_is_live(images: Path, tmp_path: Path) -> None:
    made = config(images, tmp_path / "state")
    with pinery.open(made).searcher() as searcher:
        with pytest.raises(NoLiveIndexError, match="has no live index yet"):
            searcher.by_id("red-0.jpg")
        assert not (tmp_path / "state").exists(), "and a search makes no state"
        bring(made)
        wait_until(lambda: answers(searcher), seconds=FRESH_SECONDS + 5)


def answers(searcher: Searcher) -> bool:
    try:
        return bool(searcher.by_id("red-0.jpg").hits)
    except NoLiveIndexError:
        return False


def test_an_index_that_does_not_answer_is_away(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    made = config(images, tmp_path / "state", index={"kind": "pinecone"})
    bring(made)
    with pinery.open(made).searcher(patience=0) as searcher:
        assert searcher.by_id("red-0.jpg").hits
        pinecone_environment.stop()
        with pytest.raises(TransientError):
            searcher.by_id("red-0.jpg")


def test_an_index_that_is_gone_is_told_apart_from_an_unknown_id(filled: dict[str, Any]) -> None:
    with pinery.open(filled).searcher() as searcher:
        assert searcher.by_id("red-0.jpg").hits
        [folder] = (Path(filled["state"]) / "lance").iterdir()
        folder.rename(folder.with_name("moved-away"))

        def told() -> bool:
            try:
                searcher.by_id("red-0.jpg")
            except IndexMismatchError:
                return True
            except UnknownItemError:
                return False
            return False

        wait_until(told, seconds=FRESH_SECONDS + 5)
        folder.with_name("moved-away").rename(folder)
        assert searcher.by_id("red-0.jpg").hits


def test_the_listing_is_followed(filled: dict[str, Any], images: Path) -> None:
    made = filled | {"source": filled["source"] | {"path": str(images)}}
    bring(made)
    with pinery.open(made).searcher() as searcher:
        for _ in range(3):
            assert searcher.by_id("red-0.jpg")[0].uri == (images / "red-0.jpg").as_uri()
        searcher.settle()
        assert searcher.by_id("red-0.jpg")[0].uri == (images / "red-0.jpg").as_uri(), "from the table of the listing"
        paint(images / "red-9.jpg", "red", 9)
        bring(made)
        wait_until(
            lambda: any(hit.id == "red-9.jpg" and hit.uri for hit in searcher.by_id("red-0.jpg", top_k=13)), seconds=10
        )


def test_words_and_images_meet_in_a_model_with_a_text_tower(images: Path, tmp_path: Path) -> None:
    made = config(images, tmp_path / "state", model=f"clip:{save_clip(tmp_path / 'clip')}")
    bring(made)
    with pinery.open(made).searcher() as searcher:
        assert len(searcher.by_text("a frog", top_k=4)) == 4
        words, image = searcher.vector_of("a frog"), searcher.vector_of(images / "red-0.jpg")
        both = words.values / np.linalg.norm(words.values) - image.values / np.linalg.norm(image.values)
        found = searcher.search("a frog", minus=[images / "red-0.jpg"], top_k=12)
        assert ids(found) == ids(searcher.by_vector(both, top_k=12))
        assert (found.strong, found[0].strength) == (None, None)


def two_targets(settings: dict[str, Any], weights: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    """Make a second target, of another model and another dimension, kept beside the live one; return for each index'
    name its model key and the order in which it finds the images nearest to red-1.jpg."""
    first = opened(settings).alias()[0].live
    assert first is not None
    corpus = opened(settings)
    write_alias(corpus.store, corpus.paths.alias, replace(corpus.alias()[0], live=None), corpus.alias()[1])
    bring(settings | {"model": weights})
    alias, tag = corpus.alias()
    assert alias.live is not None
    second = replace(alias.live, gate="pass")
    write_alias(
        corpus.store, corpus.paths.alias, replace(alias, live=first, retired=[], candidates=[second], kept=[]), tag
    )
    found = {}
    with pinery.open(settings).searcher() as searcher:
        for one in (first, second):
            found[one.name] = (one.card.key, ids(searcher.by_id("red-1.jpg", top_k=12, index=one.name)))
    return found


@pytest.mark.parametrize("kind", [pytest.param("lance", marks=pytest.mark.slow), "pinecone"])
def test_threads_get_whole_answers_of_one_model_while_a_candidate_is_promoted_and_taken_back(
    images: Path, tmp_path: Path, prompt_server: PineconeServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name, value in prompt_server.environment.items():
        monkeypatch.setenv(name, value)
    settings = config(images, tmp_path / "state", index={"kind": kind})
    bring(settings)
    expected = two_targets(settings, squeezenet_weights(tmp_path))
    assert len({tuple(order) for _, order in expected.values()}) == 2, "the two models can be told apart"
    first, second = expected
    over, wrong, seen = threading.Event(), list[Any](), set[tuple[str, int]]()
    image = (images / "red-1.jpg").read_bytes()

    def ask(by_image: bool) -> None:
        try:
            while not over.is_set():
                hits = searcher.by_image(image, top_k=12) if by_image else searcher.by_id("red-1.jpg", top_k=12)
                seen.add((hits.index, hits.generation))
                if (hits.model_key, ids(hits)) != expected[hits.index]:
                    wrong.append(hits)
        except Exception as error:  # noqa: BLE001  the test shows it
            wrong.append(error)

    with pinery.open(settings).searcher() as searcher:
        threads = [threading.Thread(target=ask, args=(number == 0,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            live = [first]
            for _ in range(2):
                for change in (lambda: promote(opened(settings), second), lambda: rollback(opened(settings))):
                    change()
                    alias = opened(settings).alias()[0]
                    assert alias.live is not None
                    live.append(alias.live.name)
                    now = (alias.live.name, alias.generation)
                    wait_until(lambda now=now: now in seen or bool(wrong), seconds=30)  # type: ignore[misc]
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert wrong == []
    assert live == [first, second, first, second, first]


def test_a_vector_of_the_former_model_is_refused(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    bring(settings)
    first, second = two_targets(settings, squeezenet_weights(tmp_path))
    with pinery.open(settings).searcher() as searcher:
        vector = searcher.vector_of(ById("red-1.jpg"))
        with pytest.raises(BadVectorError, match="make the vector again"):
            searcher.by_vector(vector, index=second)
        assert searcher.by_vector(vector, index=first).hits


def test_a_search_is_not_made_to_open_a_path_by_words(searcher: Searcher, settings: dict[str, Any]) -> None:
    path = str(image_of(settings, "red-1.jpg"))
    with pytest.raises(NoTextTowerError):
        searcher.search(path)
    with pytest.raises(NoTextTowerError):
        searcher.search(ById("red-0.jpg"), plus=[path])


def test_an_image_is_turned_upright_whoever_opened_it(filled: dict[str, Any]) -> None:
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    half = Image.new("RGB", (64, 48), "white")
    half.paste("black", (0, 0, 20, 48))
    half.save(turned, "PNG", exif=exif)
    with pinery.open(filled).searcher() as searcher, Image.open(turned) as image:
        by_bytes = searcher.vector_of(turned.getvalue()).values
        np.testing.assert_array_equal(searcher.vector_of(image).values, by_bytes)
        assert not np.array_equal(searcher.vector_of(half).values, by_bytes)
