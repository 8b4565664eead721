"""The API's own description: each answer is of the shape that it says, and a stranger can read it."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from pinery.web import shapes
from tests.corpora import jpeg
from tests.web.asking import asking, site_of

READ = {
    "/api/corpora",
    "/api/items",
    "/api/facets",
    "/api/search",
    "/api/compare",
    "/api/status",
    "/thumb",
    "/image",
    "/query-image",
    "/ready",
    "/healthz",
}


@pytest.fixture(scope="module")
def client(made: dict[str, Any]) -> Iterator[TestClient]:
    with asking(site_of(made)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/api/corpora", shapes.CorporaShape),
        ("/api/items?limit=5", shapes.PageShape),
        ("/api/items?start=11", shapes.PageShape),
        ("/api/facets?wait=60", shapes.FacetsShape),
        ("/api/facets?wait=60&key=label", shapes.ValuesShape),
        ("/api/search?id=red-1.jpg", shapes.AnswerShape),
        ("/api/search?id=red-1.jpg&not_id=blue-1.jpg", shapes.AnswerShape),
        ("/api/compare?id=red-1.jpg", shapes.ComparedShape),
        ("/ready", shapes.ReadyShape),
    ],
)
def test_an_answer_is_of_its_shape(client: TestClient, path: str, shape: type[BaseModel]) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    shape.model_validate(answer.json(), strict=True)


def test_other_answers_are_of_their_shapes_too(client: TestClient) -> None:
    found = client.post("/api/search", content=jpeg("red", 1))
    shapes.ImageAnswerShape.model_validate(found.json(), strict=True)
    for path in ("/api/search", "/api/items?limit=0", "/thumb?id=none", "/nothing"):
        shapes.Failure.model_validate(client.get(path).json(), strict=True)


def test_a_stranger_is_told_what_each_route_and_parameter_is(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    assert set(told["paths"]) >= READ
    for path in READ:
        for method, route in told["paths"][path].items():
            where = f"{method} {path}"
            assert route["summary"], where
            assert len(route["description"]) > 10, where
            assert {"200", "201", "202"} & set(route["responses"]), where
            for one in route.get("parameters", []):
                assert len(one.get("description", "")) > 5, (where, one["name"])
    given = {one["name"]: one["schema"] for one in told["paths"]["/api/search"]["get"]["parameters"]}
    limits = {"type": "integer", "minimum": 1, "maximum": 200, "default": 24}
    assert limits.items() <= given["top_k"].items()
    assert {"id", "text", "image", "not_id", "filter", "index", "corpus", "self"} <= set(given)
    body = told["paths"]["/api/search"]["post"]["requestBody"]["content"]
    assert set(body) == {"image/*", "multipart/form-data"}
