"""What axe-core finds that bars people from using a page: nothing serious on any view, in light and dark."""

from __future__ import annotations

from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.web.browser.conftest import DESKTOP, PHONE, Open

FILTER = '{"label": {"$in": ["red"]}, "year": {"$gte": 2000}}'
VIEWS = {
    "gallery": "/",
    "filtered": f"/?{urlencode({'filter': FILTER})}",
    "a wrong filter": "/?filter=%7B",
    "similar": "/search?id=red-01.jpg",
    "combined": "/search?id=red-01.jpg&not_id=green-02.jpg&top_k=24",
    "words": "/search?corpus=words&text=frog&not_text=leaf",
    "nothing found": "/search?id=nowhere.jpg",
    "compare": "/compare?id=red-01.jpg",
    "compare what": "/compare",
    "status": "/status",
    "no such corpus": "/?corpus=nowhere",
}


def violations(page: Page, rules: list[str] | None = None) -> list[dict[str, Any]]:
    """The serious and critical violations, each with the elements that it is about."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("(rules) => axe.run(document, rules ? { runOnly: rules } : {})", rules)
    assert found["passes"], "axe looked at the page"
    bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [{"id": one["id"], "at": [node["html"][:160] for node in one["nodes"]][:5]} for one in bad]


@pytest.mark.parametrize("size", [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")])
def test_no_view_bars_anybody_in_light_and_dark(site: str, opened: Open, size: tuple[int, int]) -> None:
    found = {}
    page = opened("about:blank", size, missing=True, bypass_csp=True)
    for name, path in VIEWS.items():
        page.goto(f"{site}{path}")
        expect(page.locator("#main")).to_be_visible()
        found[name] = violations(page)
        page.emulate_media(color_scheme="dark")
        found[f"{name}, dark"] = violations(page, ["color-contrast"])  # all else is the same
        page.emulate_media(color_scheme="light")
    page.goto(site)
    if size == PHONE:
        page.get_by_role("button", name="Filter").click()
        expect(page.locator("#filters")).to_be_visible()
        found["the sheet"] = violations(page)
    assert {name: bad for name, bad in found.items() if bad} == {}


def test_what_has_the_focus_can_be_seen_and_tab_meets_one_tile_only(site: str, opened: Open) -> None:
    page = opened(site)
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("() => document.activeElement.closest('#gallery') !== null"))
        if seen[-1]:
            break
    assert seen[-1], "Tab reaches the images"
    outline = page.evaluate("() => getComputedStyle(document.activeElement.querySelector('.frame')).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Tab")
    assert not page.evaluate("() => document.activeElement.closest('#gallery') !== null")


def test_whoever_wants_less_motion_gets_none(site: str, opened: Open) -> None:
    page = opened(site, reduced_motion="reduce")
    page.evaluate("() => document.querySelector('#gallery li').classList.add('bare')")
    assert page.evaluate("() => getComputedStyle(document.querySelector('.bare .frame')).animationName") == "none"
