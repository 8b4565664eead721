"""The URLs of the pages hold their whole state, and a click changes one part of it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.datastructures import QueryParams

from pinery.web.links import View
from pinery.web.search_box import asked_by_form, heading, shortened
from pinery.web.terms import Terms

QUERY = "corpus=b&id=a.jpg&text=red+frog&not_id=x%2Fy.jpg&filter=%7B%22label%22%3A+%22caf%C3%A9%22%7D&index=i&top_k=24"


def view(query: str, path: str = "/search", default: bool = False) -> View:
    params = QueryParams(query)
    return View.of(path, "b", default, params, {"label": "café"} if "filter" in params else None)


def parts(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query)


def test_a_page_leads_to_itself() -> None:
    assert view(QUERY).url() == f"/search?{QUERY}"


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"terms": []}, {"id", "text", "not_id"}),
        ({"filter": None}, {"filter"}),
        ({"top_k": None, "index": None}, {"top_k", "index"}),
    ],
)
def test_a_link_changes_what_it_is_for_and_nothing_else(changes: dict[str, object], gone: set[str]) -> None:
    assert parts(view(QUERY).url(**changes)) == [one for one in parts(f"?{QUERY}") if one[0] not in gone]


def test_the_first_corpus_needs_no_name_and_home_has_nothing_else() -> None:
    assert view(QUERY, default=True).home("/status") == "/status"
    assert view(QUERY).home() == "/?corpus=b"
    assert "start" not in view("start=60").url(start=0)


def test_a_term_is_added_once_and_takes_the_place_of_its_opposite() -> None:
    asked = view("id=a&id=b&not_id=c")
    assert asked.with_term("id", "a") == [("id", "b"), ("not_id", "c"), ("id", "a")]
    assert asked.with_term("id", "c") == [("id", "a"), ("id", "b"), ("id", "c")]
    assert asked.without_term("id", "a") == [("id", "b"), ("not_id", "c")]
    assert len(view("&".join(f"id={n}" for n in range(16))).with_term("id", "new")) == 16


@pytest.mark.parametrize(
    ("query", "words", "how", "leads"),
    [
        ("", "frog", None, "/search?corpus=b&text=frog"),
        ("text=frog", " leaf ", None, "/search?corpus=b&text=leaf"),
        ("id=a&text=frog&text=two", "leaf", None, "/search?corpus=b&id=a&text=leaf&text=two"),
        ("text=frog", "leaf", "plus", "/search?corpus=b&text=frog&text=leaf"),
        ("text=frog", "leaf", "minus", "/search?corpus=b&text=frog&not_text=leaf"),
        ("text=frog&id=a", "", None, "/search?corpus=b&id=a"),
        ("text=frog", "", None, "/?corpus=b"),
    ],
)
def test_the_boxs_form_asks_for(query: str, words: str, how: str | None, leads: str) -> None:
    params = QueryParams({"words": words} | ({"how": how} if how else {}))
    assert asked_by_form(params, view(query)) == leads


def test_a_query_is_told_in_words() -> None:
    told = [heading(Terms.of(QueryParams(query))) for query in ("id=a", "text=a+b", "image=00", "id=a&not_text=b")]
    assert told == ["Similar to a", "“a b”", "Similar to your image", "a − “b”"]
    assert shortened("a" * 40 + "end.jpg") == f"{'a' * 10}…{'a' * 10}end.jpg"
