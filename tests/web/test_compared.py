"""One query against two indexes, the judgement of a gate, and the status of a corpus."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from pinery.planning.gate import jaccard, rbo
from pinery.web import compared
from pinery.web.answers import targets
from pinery.web.site import Site
from tests.corpora import jpeg
from tests.web.asking import asking, site_of
from tests.web.browser.corpora import photos


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A corpus with a broken image, a kept second index and the report of a gate."""
    path = photos(tmp_path_factory.mktemp("compared"))
    return site_of(yaml.safe_load(Path(path).read_text()))


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[TestClient]:
    with asking(site) as made:
        yield made


def names(site: Site) -> tuple[str, str]:
    shown = site.shown(None)
    assert shown is not None
    among = {one["role"]: one for one in targets(shown)}
    assert set(among) == {"live", "kept"}
    assert among["kept"]["until"] == "2999-01-01T00:00:00+00:00"
    return among["live"]["index"], among["kept"]["index"]


def asked(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.get("/api/compare", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_two_answers_stand_side_by_side_with_what_they_share(client: TestClient, site: Site) -> None:
    live, kept = names(site)
    found = asked(client, id="red-03.jpg", left=live, right=kept, top_k=12)
    assert (found["left"]["index"], found["right"]["index"]) == (live, kept)
    sides = [[one["id"] for one in found[side]["matches"]] for side in ("left", "right")]
    assert found["shared"] == [id for id in sides[0] if id in sides[1]]
    assert found["moves"] == {id: sides[0].index(id) - sides[1].index(id) for id in found["shared"]}
    assert found["jaccard"] == pytest.approx(jaccard(*sides))
    assert found["rbo"] == pytest.approx(rbo(*sides))
    for side, index in (("left", live), ("right", kept)):
        alone = client.get("/api/search", params={"id": "red-03.jpg", "index": index, "top_k": 12}).json()
        assert [one["id"] for one in alone["matches"]] == [one["id"] for one in found[side]["matches"]]


def test_an_index_beside_itself_differs_in_nothing(client: TestClient, site: Site) -> None:
    live, _ = names(site)
    found = asked(client, id="red-03.jpg", left=live, filter='{"label": "blue"}')
    assert (found["jaccard"], set(found["moves"].values())) == (1.0, {0})
    assert found["rbo"] == pytest.approx(1)
    assert {one["metadata"]["label"] for one in found["left"]["matches"]} == {"blue"}


def test_an_image_is_asked_of_both_models(client: TestClient, site: Site) -> None:
    live, kept = names(site)
    token = client.post("/api/search", content=jpeg("red", 3)).json()["query_image"]
    found = asked(client, image=token, left=live, right=kept)
    assert len(found["left"]["matches"]) == len(found["right"]["matches"]) == 10


def test_a_missing_index_is_told(client: TestClient) -> None:
    answer = client.get("/api/compare", params={"id": "red-03.jpg", "right": "none"})
    assert answer.status_code == 404
    assert "has no index 'none'" in answer.json()["error"]
    assert client.get("/api/compare").status_code == 400


def test_the_most_changed_queries_of_the_last_gate_are_told(client: TestClient, site: Site) -> None:
    shown = site.shown(None)
    assert shown is not None
    found = compared.changed(shown)
    assert [one["id"] for one in found] == [f"blue-{n:02}.jpg" for n in range(10)]
    assert [one["jaccard"] for one in found] == [0.1 * n for n in range(10)]
    assert all(one["listed"] for one in found)
    assert client.get("/api/status").json()["changed"] == found
    assert client.get(found[0]["thumb"]).headers["content-type"] == "image/webp"


def test_the_status_has_what_is_not_indexed_with_reasons_and_pictures(client: TestClient, site: Site) -> None:
    found = client.get("/api/status").json()
    live, kept = names(site)
    assert (found["live"]["index"], [one["index"] for one in found["kept"]]) == (live, [kept])
    assert [one["role"] for one in found["targets"]] == ["live", "kept"]
    bad = found["quarantined"]
    assert [one["id"] for one in bad] == ["red-broken.jpg"]
    assert "JPEG" in bad[0]["reason"]
    assert client.get(bad[0]["thumb"]).status_code == 404
    assert (found["quarantined_count"], found["rejected_count"]) == (1, 0)
    assert found["last_run"]["state"] == "done"


def test_a_status_is_counted_once_for_many_visitors(site: Site) -> None:
    shown = site.shown(None)
    assert shown is not None
    first = shown.status()
    assert shown.status() is first
