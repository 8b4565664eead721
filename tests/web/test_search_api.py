"""Search by the API: what it answers, what its scores mean, and how queries look in a URL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import QueryParams

from pinery.errors import QueryError
from pinery.web.answers import means
from pinery.web.site import Site
from pinery.web.terms import QueryImages, Term, Terms, UnknownQueryImageError
from tests.corpora import config, jpeg, paint
from tests.filled import bring
from tests.processes import wait_until
from tests.small_models import save_clip
from tests.web.asking import asking, site_of

ANSWER = {"matches", "index", "model", "model_key", "generation", "seconds", "strong", "strong_from"}
MATCH = {"id", "score", "rank", "strength", "means", "metadata", "thumb", "image"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Sixty images, so that scores mean something, with a model that reads no texts; and a few with one that does."""
    folder = tmp_path_factory.mktemp("searched")
    for label in ("red", "green", "blue"):
        for number in range(20):
            paint(folder / "images" / f"{label}-{number:02}.jpg", label, number)
    first = config(folder / "images", folder / "state")
    (folder / "few").mkdir()
    for number in range(4):
        paint(folder / "few" / f"red-{number}.jpg", "red", number)
    clip = f"clip:{save_clip(folder / 'clip')}"
    second = config(folder / "few", folder / "state", corpus="words", model=clip)
    for one in (first, second):
        bring(one)
    return site_of(first, second)


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[TestClient]:
    with asking(site) as made:
        yield made


def search(client: TestClient, query: str) -> dict[str, Any]:
    answer = client.get(f"/api/search?{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [one["id"] for one in found["matches"]]


def test_an_item_is_no_match_of_its_own_unless_that_is_asked_for(client: TestClient, site: Site) -> None:
    found = search(client, "id=red-03.jpg&top_k=5")
    assert set(found) == ANSWER
    assert all(set(one) == MATCH for one in found["matches"])
    assert [one["rank"] for one in found["matches"]] == [1, 2, 3, 4, 5]
    assert "red-03.jpg" not in ids(found)
    with_self = search(client, "id=red-03.jpg&top_k=6&self=true")
    assert ids(with_self) == ["red-03.jpg", *ids(found)]
    assert len(search(client, "id=red-03.jpg&top_k=200")["matches"]) == 59
    shown = site.shown("test")
    assert shown is not None
    alias = shown.corpus().alias()[0]
    assert alias.live is not None
    assert (found["index"], found["model"], found["generation"]) == (alias.live.name, "descriptor", 1)
    for one in found["matches"]:
        assert client.get(one["thumb"], follow_redirects=False).headers["content-type"] == "image/webp"


def test_a_filter_narrows_the_matches(client: TestClient) -> None:
    found = search(client, 'id=red-03.jpg&top_k=4&filter={"label":"blue"}')
    assert {one["metadata"]["label"] for one in found["matches"]} == {"blue"}
    assert len(found["matches"]) == 4


def test_scores_mean_something_once_they_are_measured(client: TestClient) -> None:
    wait_until(lambda: search(client, "id=red-03.jpg")["strong"] is not None)
    found = search(client, "id=red-03.jpg")
    assert found["strong"] is True
    first = found["matches"][0]
    assert first["strength"] >= found["strong_from"]
    assert first["means"] == means(first["strength"])
    words = search(client, "id=red-03.jpg&not_id=blue-01.jpg")
    assert {one["means"] for one in words["matches"]} == {None}
    assert words["strong"] is None


@pytest.mark.parametrize(
    ("strength", "said"),
    [
        (None, None),
        (0.0, "nearer than 0 % of pairs"),
        (0.5, "nearer than 50 % of pairs"),
        (0.9899, "nearer than 98 % of pairs"),
        (0.99, "nearer than 99.0 % of pairs"),
        (0.99899, "nearer than 99.8 % of pairs"),
        (0.999, "nearer than 99.90 % of pairs"),
        (0.9999, "nearer than 99.990 % of pairs"),
        (1.0, "nearer than 99.999 % of pairs"),
    ],
)
def test_a_strength_is_said_in_words_and_never_rounded_up(strength: float | None, said: str | None) -> None:
    assert means(strength) == said


def test_an_image_is_a_body_or_a_file_of_a_form_and_is_found_again_by_its_token(client: TestClient) -> None:
    data = jpeg("green", 7)
    raw = client.post("/api/search?top_k=3", content=data, headers={"content-type": "image/jpeg"})
    form = client.post("/api/search?top_k=3", files={"image": ("../x.jpg", data, "text/html")}, data={"other": "1"})
    assert (raw.status_code, form.status_code) == (200, 200)
    assert ids(raw.json()) == ids(form.json())
    assert ids(raw.json())[0] == "green-07.jpg", "an image that was given has no reason to be left out"
    assert raw.json()["matches"][0]["score"] == pytest.approx(1, abs=1e-4)
    token = raw.json()["query_image"]
    assert ids(search(client, f"image={token}&top_k=3")) == ids(raw.json())
    small = client.get(f"/query-image?token={token}")
    assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
    both = client.post("/api/search?top_k=3&not_id=green-07.jpg&id=blue-01.jpg", content=data)
    assert both.status_code == 200
    assert client.get("/query-image?token=none").status_code == 404


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image", "not an image that can be read"),
        (jpeg("red", 1)[:100], "JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    ],
)
def test_a_bad_image_is_a_400_with_the_reason(client: TestClient, data: bytes, reason: str) -> None:
    for answer in (client.post("/api/search", content=data), client.post("/api/search", files={"image": data})):
        assert answer.status_code == 400
        assert reason in answer.json()["error"]


def test_forms_that_are_torn_or_lack_the_image_are_refused(client: TestClient) -> None:
    torn = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc'
    for content, kind in (
        (torn, "multipart/form-data; boundary=x"),
        (torn, "multipart/form-data"),
        (b"\0" * 50, "multipart/form-data; boundary=y"),
        (b"", "multipart/mixed; boundary=z"),
    ):
        answer = client.post("/api/search", content=content, headers={"content-type": kind})
        assert answer.status_code == 400, (kind, answer.text)
        assert "the form" in answer.json()["error"]
    assert client.post("/api/search", data={"image": "text"}, files={"b": b"x"}).status_code == 400


def test_words_need_a_model_that_reads_them(client: TestClient) -> None:
    answer = client.get("/api/search?text=a frog")
    assert answer.status_code == 400
    assert "embeds no texts" in answer.json()["error"]
    found = search(client, "text=frog&corpus=words&top_k=2")
    assert len(found["matches"]) == 2
    assert (found["strong"], found["matches"][0]["means"]) == (None, None)
    corpora = client.get("/api/corpora").json()["corpora"]
    told = {one["corpus"]: one["indexes"][0] for one in corpora}
    assert told["words"]["text"] is True
    assert told["test"]["text"] is False
    assert "embeds images only" in told["test"]["why_no_text"]
    assert [(one["corpus"], one["total"]) for one in corpora] == [("test", 60), ("words", 4)]


def test_readiness_tells_that_the_model_of_words_is_loaded(client: TestClient) -> None:
    wait_until(lambda: client.get("/ready").json()["corpora"][1]["model"] == "loaded")
    found = client.get("/ready").json()
    assert found["ready"] is True
    assert {one["index"] for one in found["corpora"]} == {"open"}
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ("", 400, "the query is empty"),
        ("not_id=red-01.jpg", 400, "only has terms to subtract"),
        ("id=none", 404, "has no item 'none'"),
        ("id=red-01.jpg&index=none", 404, "has no index 'none'"),
        ("id=red-01.jpg&corpus=none", 404, "no corpus 'none' is shown here"),
        ("id=red-01.jpg&top_k=0", 422, "top_k"),
        ("id=red-01.jpg&top_k=201", 422, "top_k"),
        ("id=red-01.jpg&top_k=many", 422, "top_k"),
        ("id=red-01.jpg&not_id=red-01.jpg", 400, "cancel each other out"),
        ("image=0123", 404, "isn't kept any more"),
        ("text=" + "x" * 1001, 400, "text has 1,001 characters"),
        ("id=" + "x" * 513, 400, "id has 513 characters"),
        ("&".join(f"id={n}" for n in range(17)), 422, "id"),
        ("&".join(f"id={n}&not_id=a{n}" for n in range(9)), 400, "18 terms"),
        ("id=red-01.jpg&filter=[]", 400, "no JSON object"),
        ("id=red-01.jpg&filter={", 400, "no JSON"),
        ('id=red-01.jpg&filter={"a":NaN}', 400, "NaN is no number of JSON"),
        ('id=red-01.jpg&filter={"a":-Infinity}', 400, "no number of JSON"),
        ('id=red-01.jpg&filter={"a":1e999}', 400, "not a finite number"),
        ('id=red-01.jpg&filter={"a":"%5Cud800"}', 400, "not valid Unicode"),
        ('id=red-01.jpg&filter={"a":{"$in":[' + ",".join(["1"] * 501) + "]}}", 400, "too long"),
        ("id=red-01.jpg&filter=" + "[" * 5000, 400, "filter"),
        ('id=red-01.jpg&filter={"a":' + "1" * 5000 + "}", 400, "filter"),
        ("id=red-01.jpg&filter=" + '{"$and":[' * 30 + "{}" + "]}" * 30, 400, "nested more than 20"),
        ("id=red-01.jpg&filter=" + "x" * 8193, 422, "filter"),
        ('id=red-01.jpg&filter={"$where":"1"}', 400, "unknown operator $where"),
    ],
)
def test_a_wrong_query_is_told_what_is_wrong(client: TestClient, query: str, status: int, error: str) -> None:
    answer = client.get(f"/api/search?{query}")
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert error in answer.json()["error"]
    assert len(answer.json()["error"]) < 1500


def test_terms_are_what_their_url_says(site: Site) -> None:
    query = "id=a+b&text=red+%26+blue&not_text=sky&not_id=c&image=0f"
    terms = Terms.of(QueryParams(query))
    assert [(one.sign, one.kind, one.value) for one in terms.terms] == [
        ("+", "id", "a b"),
        ("+", "text", "red & blue"),
        ("+", "image", "0f"),
        ("-", "id", "c"),
        ("-", "text", "sky"),
    ]
    assert Terms.of(QueryParams(terms.to_query())) == terms
    assert terms.needs_model
    assert terms.only_id is None
    assert Terms.of(QueryParams("id=a")).only_id == "a"
    assert not Terms.of(QueryParams("id=&text=++"))
    assert (
        Terms.of(QueryParams("id=a")).with_term("-", "id", "b").without(Term("+", "id", "a")).to_query() == "not_id=b"
    )
    shown = site.shown(None)
    assert shown is not None
    chips = Terms.of(QueryParams("id=red-01.jpg&not_text=sky&image=0f")).described(shown)
    assert [(one["sign"], one["kind"], one["value"]) for one in chips] == [
        ("+", "id", "red-01.jpg"),
        ("+", "image", "0f"),
        ("-", "text", "sky"),
    ]
    assert chips[0]["thumb"].startswith("/thumb?corpus=test&id=red-01.jpg&v=")
    assert (chips[1]["thumb"], chips[2]["thumb"]) == ("/query-image?token=0f", None)
    assert chips[0]["without"] == "image=0f&not_text=sky"


def test_images_of_queries_are_kept_as_far_as_there_is_room() -> None:
    kept = QueryImages(limit=100)
    tokens = [kept.put(bytes([n]) * 40, b"") for n in range(3)]
    assert kept.get(tokens[2]).data == b"\2" * 40
    with pytest.raises(UnknownQueryImageError, match="isn't kept any more"):
        kept.get(tokens[0])
    with pytest.raises(QueryError, match="101 bytes, too many"):
        kept.put(b"x" * 101, b"")


def test_before_the_first_run_a_search_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with asking(site_of(config(tmp_path / "images", tmp_path / "state"))) as client:
        answer = client.get("/api/search?id=a")
        assert answer.status_code == 503
        assert "`pinery run` makes one" in answer.json()["error"]
        assert answer.headers["retry-after"] == "5"
        assert client.get("/api/corpora").json()["corpora"][0]["total"] is None
        assert client.get("/ready").json()["corpora"][0]["index"] == "none yet"
        assert client.get("/api/status").json()["live"] is None
        assert client.get("/api/facets").json() == {"ready": True, "total": 0, "facets": []}
