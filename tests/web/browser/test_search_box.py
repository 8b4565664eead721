"""Searching: by a click, by words, by an image that is chosen, dropped or pasted, by a tile that is dragged, by all."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.web.browser.conftest import Open
from tests.web.browser.corpora import photo

HAND_OVER = """([kind, target, data, name, type]) => {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name, { type }));
  const at = document.querySelector(target);
  const how = { clipboardData: given, dataTransfer: given, bubbles: true, cancelable: true };
  if (kind === 'paste') return at.dispatchEvent(new ClipboardEvent('paste', how));
  for (const name of ['dragenter', 'dragover', 'drop']) at.dispatchEvent(new DragEvent(name, how));
}"""


def jpeg(label: str, number: int) -> bytes:
    out = io.BytesIO()
    photo(label, number).save(out, "JPEG", quality=88)
    return out.getvalue()


def hand_over(
    page: Page, kind: str, target: str, data: bytes, name: str = "mine.jpg", type: str = "image/jpeg"
) -> None:
    """Have the browser paste or drop a file, as from another program."""
    page.evaluate(HAND_OVER, [kind, target, base64.b64encode(data).decode(), name, type])


def hits(page: Page) -> list[str]:
    return [str(one.get_attribute("data-id")) for one in page.locator("#hits > li").all()]


def chips(page: Page) -> list[str]:
    return [re.sub(r"\s+", " ", one.inner_text()).strip() for one in page.locator(".chip").all()]


def test_a_click_shows_the_six_most_similar_and_more(site: str, opened: Open) -> None:
    page = opened(site)
    page.get_by_role("link", name="blue-03.jpg, label blue").click()
    expect(page).to_have_url(re.compile(r"/search\?id=blue-03.jpg$"))
    expect(page.locator("#hits > li")).to_have_count(6)
    assert "blue-03.jpg" not in hits(page)
    expect(page.locator("#live")).to_contain_text("6 matches")
    expect(page.get_by_role("img", name="blue-03.jpg, label blue")).to_be_visible()
    first = page.locator("#hits > li").first
    expect(first.locator(".score b")).to_have_text(re.compile(r"0\.\d{3}$"))
    expect(first.locator(".means")).to_have_text(re.compile(r"nearer than \d+(\.\d+)? % of pairs"))
    page.get_by_role("link", name="More").click()
    expect(page.locator("#hits > li")).to_have_count(24)
    expect(page.locator("#hits > li").nth(6).locator(".to")).to_be_focused()
    page.go_back()
    expect(page).to_have_url(re.compile(r"/$"))


@pytest.mark.parametrize("way", ["choose", "drop on the box", "drop on the page", "paste"])
def test_an_image_of_ones_own_finds_itself(site: str, opened: Open, way: str, tmp_path: Path) -> None:
    page = opened(site)
    data = jpeg("green", 7)
    if way == "choose":
        (tmp_path / "mine.jpg").write_bytes(data)
        page.locator("#file").set_input_files(tmp_path / "mine.jpg")
    elif way == "paste":
        hand_over(page, "paste", "body", data)
    else:
        hand_over(page, "drop", ".box" if "box" in way else "#main", data)
    expect(page).to_have_url(re.compile(r"/search\?image=[0-9a-f]{32}"))
    expect(page.locator("#hits > li").first).to_have_attribute("data-id", "green-07.jpg")
    assert chips(page) == ["+ your image"]
    expect(page.locator(".chip img")).to_have_js_property("complete", True)
    page.reload()
    expect(page.locator("#hits > li").first).to_have_attribute("data-id", "green-07.jpg")


def test_what_is_no_image_is_told_and_changes_nothing(site: str, opened: Open) -> None:
    page = opened(site, missing=True)
    hand_over(page, "drop", ".box", b"words", "words.txt", "text/plain")
    expect(page.get_by_role("alert")).to_contain_text("That is no image")
    hand_over(page, "drop", ".box", b"\xff\xd8\xff broken", "broken.jpg")
    expect(page.get_by_text(re.compile("can't search by the image"))).to_be_visible()


def test_tiles_are_dragged_into_the_box_turned_and_taken_out(site: str, opened: Open) -> None:
    page = opened(site)
    page.locator("[data-index='1'] .to").drag_to(page.locator(".box"))
    expect(page).to_have_url(re.compile(r"id=blue-01.jpg"))
    expect(page.locator("#hits > li")).to_have_count(6)
    alone = hits(page)
    page.locator("#hits > li").nth(2).locator(".to").drag_to(page.locator(".box"))
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator("#hits > li")).to_have_count(24)
    assert chips(page) == ["+ blue-01.jpg", f"+ {alone[2]}"]
    page.get_by_role("link", name=f"Subtract {alone[2]} instead").click()
    expect(page.locator(".chip.minus")).to_have_count(1)
    assert chips(page) == ["+ blue-01.jpg", f"− {alone[2]}"]
    expect(page).to_have_url(re.compile("not_id="))
    page.get_by_role("link", name=f"Remove {alone[2]} from the query").click()
    expect(page.locator(".chip")).to_have_count(1)
    expect(page.locator("#hits > li")).to_have_count(6)
    assert hits(page) == alone


def test_keys_on_a_tile_add_and_subtract_it(site: str, opened: Open) -> None:
    page = opened(f"{site}/search?id=red-01.jpg")
    second = hits(page)[1]
    page.locator("#hits > li").first.locator(".to").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("-")
    expect(page.locator(".chip.minus .name")).to_have_text(second)


def test_words_find_images_are_added_and_subtracted(site: str, opened: Open) -> None:
    page = opened(f"{site}/?corpus=words")
    page.keyboard.press("/")
    words = page.get_by_label("Search by words")
    expect(words).to_be_focused()
    words.fill("a frog")
    words.press("Enter")
    expect(page).to_have_url(re.compile(r"/search\?corpus=words&text=a\+frog$"))
    expect(page.locator("#hits > li")).to_have_count(12)
    expect(words).to_be_focused()
    expect(words).to_have_value("a frog")
    assert page.locator(".means").count() == 0, "nobody knows what the scores of words mean"
    alone = hits(page)
    words.fill("leaf")
    page.get_by_role("button", name="Subtract these words").click()
    expect(page.locator(".chip.minus .name")).to_have_text("leaf")
    expect(words).to_have_value("a frog")
    expect(page.locator("h1")).to_have_text("“a frog” − “leaf”")
    assert sorted(hits(page)) == sorted(alone)
    words.fill("red frog")
    words.press("Enter")
    expect(page).to_have_url(re.compile(r"text=red\+frog&not_text=leaf"))
    page.go_back()
    expect(words).to_have_value("a frog")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(r"/\?corpus=words$"))


def test_where_the_model_reads_no_texts_the_box_says_so(site: str, opened: Open) -> None:
    page = opened(site)
    words = page.get_by_label("Search by words")
    expect(words).to_be_disabled()
    expect(words).to_have_accessible_description(re.compile("The model descriptor embeds images only"))


def test_no_shortcut_fires_while_somebody_types(site: str, opened: Open) -> None:
    page = opened(f"{site}/search?corpus=words&text=frog")
    words = page.get_by_label("Search by words")
    words.focus()
    words.press("End")
    page.keyboard.type("/-+ x")
    expect(words).to_have_value("frog/-+ x")
    page.keyboard.press("ArrowLeft")
    expect(words).to_be_focused()
    page.keyboard.press("Escape")
    expect(words).to_have_value("")
    expect(page).to_have_url(re.compile("text=frog"))
    language = page.get_by_label("Filter language")
    language.fill("{")
    language.press("Escape")
    language.press("/")
    expect(language).to_be_focused()
    expect(page).to_have_url(re.compile("text=frog"))


def test_a_new_query_takes_the_place_of_the_one_before(site: str, opened: Open) -> None:
    page = opened(f"{site}/?corpus=words")
    given_up: list[str] = []
    page.on("requestfailed", lambda request: given_up.append(request.url))
    page.route("**/search?**slow**", lambda route: None)  # it is never answered
    words = page.get_by_label("Search by words")
    words.fill("slow")
    words.press("Enter")
    expect(page.locator("html")).to_have_class(re.compile("busy"))
    expect(page.locator("#main")).to_have_attribute("aria-busy", "true")
    words.fill("frog")
    words.press("Enter")
    expect(page).to_have_url(re.compile("text=frog"))
    expect(page.locator("html")).not_to_have_class(re.compile("busy"))
    assert [url for url in given_up if "slow" in url]
    page.go_back()
    expect(page).to_have_url(re.compile(r"/\?corpus=words$"))


def test_while_the_model_is_loaded_a_search_says_so(site: str, opened: Open) -> None:
    page = opened(f"{site}/?corpus=words")
    state = {"corpus": "words", "ready": True, "index": "open", "model": "loading", "why": None}
    page.route("**/ready", lambda route: route.fulfill(json={"ready": True, "corpora": [state]}))
    waiting: list[Route] = []
    page.route("**/search?**", lambda route: waiting.append(route))
    page.get_by_label("Search by words").fill("frog")
    page.get_by_label("Search by words").press("Enter")
    expect(page.locator(".toast")).to_contain_text("The model is being loaded")
    expect(page.locator("#live")).to_contain_text("The model is being loaded")
    waiting[0].continue_()
    expect(page.locator("#hits > li")).to_have_count(12)
    expect(page.locator(".toast")).to_have_count(0)


def test_that_nothing_is_a_strong_match_is_said(site: str, opened: Open) -> None:
    page = opened(site)
    out = io.BytesIO()
    Image.new("RGB", (96, 96), "white").save(out, "PNG")
    hand_over(page, "paste", "body", out.getvalue(), "white.png", "image/png")
    expect(page.locator(".weak")).to_contain_text("No strong match: none of these is nearer")
    expect(page.locator("#live")).to_contain_text("none of them strong")


def test_an_item_that_is_not_there_is_told(site: str, opened: Open) -> None:
    page = opened(f"{site}/search?id=nowhere.jpg", missing=True)
    expect(page.get_by_role("alert")).to_contain_text("no item 'nowhere.jpg'")
