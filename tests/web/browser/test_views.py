"""The filter, the comparison of two indexes, the status, the menu of corpora, and the colours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.web.browser.conftest import PHONE, Open
from tests.web.browser.corpora import BIRDS, PHOTOS


def filter_of(page: Page) -> object:
    return json.loads(parse_qs(urlsplit(page.url).query).get("filter", ["null"])[0])


def total(page: Page, words: str) -> None:
    expect(page.locator(".total")).to_contain_text(words)


def test_facets_are_chosen_beside_one_another_and_reset(site: str, opened: Open) -> None:
    page = opened(site)
    red = page.locator("#filters a", has_text=re.compile(r"^\s*red\s*27\s*$"))
    expect(red).to_be_visible()
    red.click()
    total(page, "of 27 that match")
    assert filter_of(page) == {"label": {"$in": ["red"]}}
    page.locator("#filters a", has_text=re.compile(r"^\s*green\s*26\s*$")).click()
    total(page, f"of {2 * BIRDS + 1} that match")
    assert filter_of(page) == {"label": {"$in": ["red", "green"]}}
    page.locator("#filters a", has_text=re.compile(r"^\s*bright")).click()
    total(page, f"of {BIRDS} that match")
    page.locator("#gallery .to").first.click()
    expect(page.locator("#hits > li")).to_have_count(6)
    assert {one.inner_text() for one in page.locator("#hits .label").all()} <= {"red", "green"}
    page.go_back()
    total(page, f"of {BIRDS} that match")
    page.get_by_role("link", name="Reset").click()
    total(page, f"of {PHOTOS + 1}")
    assert filter_of(page) is None


def test_numbers_are_ranges_and_many_values_are_found_by_their_beginning(site: str, opened: Open) -> None:
    page = opened(site)
    page.get_by_label("year, least").fill("2000")
    page.get_by_label("year, most").fill("2004.5")
    page.get_by_label("year, most").press("Enter")
    total(page, "of 15 that match")
    assert filter_of(page) == {"year": {"$gte": 2000, "$lte": 2004.5}}
    expect(page.get_by_label("year, least")).to_have_value("2000")
    expect(page.get_by_role("img", name="year from 1990 to 2015")).to_be_visible()
    page.get_by_role("link", name="Reset").click()
    find = page.get_by_label("Find values of place that begin with")
    find.press_sequentially("PLACE 07")
    expect(page.locator(".facet", has=find).locator("li")).to_have_count(8)
    expect(find).to_be_focused()
    page.get_by_role("link", name=re.compile("place 077")).click()
    total(page, "of 1 that match")


def test_the_filter_language_filters_and_what_is_wrong_stands_beside_it(site: str, opened: Open) -> None:
    page = opened(site, missing=True)
    language = page.get_by_label("Filter language")
    language.fill('{"$or": [{"label": "red"}, {"year": {"$lt": 1991}}]}')
    page.get_by_role("button", name="Apply").click()
    total(page, "of 29 that match")
    language.fill('{"label": {"$near": "red"}}')
    page.get_by_role("button", name="Apply").click()
    expect(language).to_have_attribute("aria-invalid", "true")
    expect(language).to_have_accessible_description(re.compile(r"\$near"))
    expect(language).to_have_value('{"label": {"$near": "red"}}')
    expect(page.locator("#main").get_by_role("alert")).to_contain_text("$near")


def test_counts_that_take_long_come_after_the_page(site: str, opened: Open) -> None:
    page = opened("about:blank")
    page.route(
        re.compile(r"/$"),
        lambda route: route.fulfill(
            response=(answer := route.fetch()), body=answer.text().replace('data-ready="yes"', 'data-ready="no"')
        ),
    )
    asked: list[Route] = []
    page.route("**/filters?**", lambda route: asked.append(route))
    page.goto(site)
    expect(page.locator("#gallery > li").first).to_be_visible()
    page.wait_for_function("() => document.querySelector('#filters').dataset.ready === 'no'")
    while not asked:
        page.wait_for_timeout(10)
    asked[0].continue_()
    expect(page.locator("#filters")).to_have_attribute("data-ready", "yes")
    expect(page.locator("#filters a").first).to_be_visible()


def test_two_indexes_answer_side_by_side(site: str, opened: Open) -> None:
    page = opened(f"{site}/compare")
    changed = page.locator(".changed li")
    expect(changed).to_have_count(10)
    changed.nth(2).locator(".to").click()
    expect(page).to_have_url(re.compile(r"/compare\?id=blue-02.jpg"))
    expect(page.locator(".columns section")).to_have_count(2)
    left, right = (page.locator(".columns section").nth(side) for side in (0, 1))
    expect(left.locator("li")).to_have_count(10)
    expect(right.locator("li")).to_have_count(10)
    shared = right.locator("li.shared").count()
    assert shared == left.locator("li.shared").count() > 0
    expect(page.locator(".figures dd").first).to_contain_text(str(shared))
    for figure in (1, 2):
        expect(page.locator(".figures dd").nth(figure)).to_have_text(re.compile(r"^[01]\.\d\d$"))
    expect(right.locator(".move")).to_have_count(10)
    before = left.locator("h2").inner_text()
    assert before != right.locator("h2").inner_text()
    names = [one.get_attribute("value") for one in page.get_by_label("Left").locator("option").all()]
    page.get_by_label("Left").select_option(names[1])
    page.get_by_label("Right").select_option(names[0])
    page.get_by_role("button", name="Compare").click()
    expect(right.locator("h2")).to_have_text(before)


def test_the_status_has_targets_runs_the_card_and_pictures_of_what_is_in_quarantine(site: str, opened: Open) -> None:
    page = opened(f"{site}/status")
    for name in ("Indexes", "Last runs", "Model card", "Not in the index"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    rows = page.locator("section:has(#targets-head) tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("live")
    expect(rows.nth(1)).to_contain_text("kept until 2999-01-01")
    expect(page.locator("#bad li")).to_have_count(1)
    expect(page.locator("#bad li")).to_contain_text("red-broken.jpg")
    expect(page.locator("#bad li")).to_contain_text("quarantined")
    expect(page.locator("#bad img")).to_have_js_property("complete", True)
    expect(page.locator("section:has(#runs-head) tbody tr").first).to_contain_text("done")


def test_a_menu_leads_from_corpus_to_corpus(site: str, opened: Open) -> None:
    page = opened(site)
    page.locator("#corpora summary").click()
    page.get_by_role("link", name="words").click()
    expect(page).to_have_url(re.compile(r"\?corpus=words$"))
    total(page, "of 12")
    page.locator("#corpora summary").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="photos")).not_to_be_visible()
    page.go_back()
    total(page, f"of {PHOTOS + 1}")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_colours_follow_the_system_until_somebody_chooses(site: str, opened: Open, system: str) -> None:
    page = opened(site, scheme=system)
    colour = "() => getComputedStyle(document.body).backgroundColor"
    theirs = page.evaluate(colour)
    assert (int(theirs[4:].split(",")[0]) > 128) == (system == "light")
    page.get_by_role("button", name=re.compile("Colours")).click()
    if page.evaluate(colour) == theirs:
        page.get_by_role("button", name=re.compile("Colours")).click()
    other = page.evaluate(colour)
    assert other != theirs
    page.reload()
    assert page.evaluate(colour) == other, "the choice is remembered"


def test_on_a_phone_everything_fits_and_the_filter_is_a_sheet(site: str, opened: Open) -> None:
    page = opened(site, PHONE, has_touch=True, is_mobile=True)
    for path in ("/", "/search?id=red-01.jpg", "/compare?id=red-01.jpg", "/status"):
        page.goto(f"{site}{path}")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE[0], path
    page.goto(site)
    expect(page.locator("#filters")).not_to_be_visible()
    page.get_by_role("button", name="Filter").tap()
    expect(page.locator("#filters")).to_be_visible()
    page.locator("#filters a", has_text="green").tap()
    total(page, f"of {BIRDS} that match")


def test_without_scripts_everything_that_a_form_can_do_is_there(site: str, opened: Open, tmp_path: Path) -> None:
    page = opened(site, scripts=False, missing=True)
    expect(page.locator("#gallery > li")).to_have_count(60)
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#gallery > li")).to_have_count(PHOTOS + 1 - 60)
    page.get_by_role("link", name="Previous").click()
    page.get_by_label("position").fill("70")
    page.get_by_role("button", name="Go").click()
    expect(page).to_have_url(re.compile("start=69"))
    page.get_by_role("link", name="red-25.jpg, label red", exact=True).click()
    expect(page.locator("#hits > li")).to_have_count(6)
    page.get_by_role("link", name="More").click()
    expect(page.locator("#hits > li")).to_have_count(24)
    page.get_by_role("link", name=re.compile("Subtract blue-.*")).first.click()
    expect(page.locator(".chip.minus")).to_have_count(1)
    page.goto(site)
    page.locator("#filters a", has_text="green").click()
    total(page, f"of {BIRDS} that match")
    page.get_by_label("year, least").fill("2010")
    page.locator("form.range button").click()
    total(page, "of 6 that match")
    from tests.web.browser.test_search_box import jpeg

    (tmp_path / "mine.jpg").write_bytes(jpeg("green", 24))
    page.get_by_label("Search by an image").set_input_files(tmp_path / "mine.jpg")
    page.get_by_role("button", name="Search by it").click()
    expect(page.locator("#hits > li").first).to_have_attribute("data-id", "green-24.jpg")
    assert filter_of(page) == {"label": {"$in": ["green"]}, "year": {"$gte": 2010}}
    page.goto(f"{site}/compare?id=red-01.jpg")
    expect(page.locator(".columns li")).to_have_count(20)
    page.goto(f"{site}/?corpus=words")
    page.get_by_label("Search by words").fill("frog")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#hits > li")).to_have_count(12)
    page.goto(f"{site}/status?{urlencode({'corpus': 'words'})}")
    expect(page.get_by_role("heading", name="Model card")).to_be_visible()
