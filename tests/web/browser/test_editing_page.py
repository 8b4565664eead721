"""Editing on the page: images are added and deleted, a run indexes them, and refusals say the way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.web.browser import corpora
from tests.web.browser.conftest import Open, Served
from tests.web.browser.test_accessible import violations
from tests.web.browser.test_search_box import hand_over, jpeg

RUN = 120_000
"""Milliseconds in which a run ends, which starts Prefect's server first."""


@pytest.fixture
def edited(tmp_path: Path, migrated: Path, serve: Callable[..., Served]) -> tuple[str, Path]:
    """The address of an editable server of twelve images, and their folder."""
    server = serve(str(corpora.editable(tmp_path / "corpus")), "--editable")
    return server.url, tmp_path / "corpus" / "images"


def test_images_are_dropped_indexed_found_and_deleted_again(edited: tuple[str, Path], opened: Open) -> None:
    url, images = edited
    page = opened(url)
    expect(page.locator(".total")).to_contain_text("of 12")
    hand_over(page, "drop", "#main", jpeg("red", 20), "red-20.jpg")
    expect(page.locator("#progress")).to_be_visible()
    assert (images / "red-20.jpg").read_bytes() == jpeg("red", 20)
    expect(page.locator(".toast", has_text="1 upserted; 13 images are listed")).to_be_visible(timeout=RUN)
    expect(page.locator(".total")).to_contain_text("of 13")
    expect(page.locator("#progress")).to_be_hidden()
    page.get_by_role("link", name="red-20.jpg, label red").click()
    expect(page.locator("#hits > li")).to_have_count(6)
    page.get_by_text("Delete …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This can't be undone")
    dialog.get_by_role("button", name="Cancel").click()
    assert (images / "red-20.jpg").exists()
    page.get_by_text("Delete …").click()
    dialog.get_by_role("button", name="Delete the image").click()
    expect(page.locator(".toast", has_text="1 deleted; 12 images are listed")).to_be_visible(timeout=RUN)
    assert not (images / "red-20.jpg").exists()
    expect(page.locator(".total")).to_contain_text("of 12")


def test_without_scripts_forms_add_delete_and_index(edited: tuple[str, Path], opened: Open, tmp_path: Path) -> None:
    url, images = edited
    page = opened(url, scripts=False)
    (tmp_path / "green-30.jpg").write_bytes(jpeg("green", 30))
    page.get_by_label("Add images").set_input_files(tmp_path / "green-30.jpg")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".said")).to_contain_text("1 image added; a run indexes it")
    assert (images / "green-30.jpg").exists()
    page.goto(f"{url}/search?id=red-1.jpg")
    page.get_by_text("Delete …").click()
    page.get_by_role("button", name="Delete the image").click()
    expect(page.locator(".said")).to_contain_text("red-1.jpg is deleted from its folder")
    assert not (images / "red-1.jpg").exists()
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.locator(".said")).to_contain_text("a run indexes the corpus")


def test_what_is_refused_says_why(edited: tuple[str, Path], opened: Open, tmp_path: Path) -> None:
    url, images = edited
    page = opened(url, missing=True, bypass_csp=True)
    before = sorted(images.iterdir())
    hand_over(page, "drop", "#main", jpeg("red", 3), "red-3.jpg")
    expect(page.get_by_role("alert")).to_contain_text("there is a file red-3.jpg already")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    page.locator("#files").set_input_files(tmp_path / "bad.jpg")
    expect(page.get_by_role("alert").last).to_contain_text("bad.jpg can't be added")
    assert sorted(images.iterdir()) == before
    assert violations(page) == []


def test_where_nothing_may_be_changed_the_page_says_why(site: str, opened: Open) -> None:
    page = opened(site)
    page.locator("#locked").focus()
    expect(page.locator("#locked")).to_contain_text("start it with `pinery serve CONFIG --editable`")
    assert page.locator("#add, #index").count() == 0
    page.goto(f"{site}/search?id=red-01.jpg")
    expect(page.locator("#hits > li")).to_have_count(6)
    assert page.get_by_text(re.compile("Delete")).count() == 0
