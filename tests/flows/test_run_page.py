"""The page of a run among Prefect's artifacts, for each kind of end."""

from typing import Any

import pytest

from flows.run_page import page, stages
from pinery.errors import ConfigError, RefusedError, TransientError

DONE: dict[str, Any] = {
    "corpus": "c", "index": "i", "listing": "l", "listed": 1200, "new": 7, "upserted": 7, "quarantined": 2,
    "not_indexed": {"quarantined": {"broken | cut <b>": 2}}, "bottleneck_line": "infer took 80% of embedding; buy one.",
    "seconds": {"list": 1.5, "embed": 9.0}, "shares": {"list": 0.1, "embed": 0.6},
}  # fmt: skip


def test_a_run_that_is_done_is_told_with_counts_reasons_and_the_next_command() -> None:
    text = page(DONE, None, "run", "c.yaml")
    assert text.startswith("# pinery run, corpus c: done\n")
    assert "infer took 80% of embedding; buy one." in text
    assert "**Next:** `pinery status c.yaml` lists what is left out" in text
    assert "| quarantined | 2 | broken \\| cut &lt;b> |" in text
    assert "| listed | 1,200 |" in text
    assert "## Targets" not in text
    assert "## Gate" not in text
    assert stages(DONE) == [
        {"stage": "list", "seconds": 1.5, "share": 0.1},
        {"stage": "embed", "seconds": 9.0, "share": 0.6},
    ]


def test_targets_and_the_gate_have_sections_where_there_are_some() -> None:
    rows = [{"role": "live", "index": "a", "held": 3}, {"role": "kept", "index": "b", "held": None, "error": "gone"}]
    text = page(DONE | {"targets": rows, "gate": {"verdict": "fail", "reasons": ["recall"]}}, None, "run", "c.yaml")
    assert "| kept | b |  |  |  |  | gone |" in text
    assert "## Gate: fail\n\n- recall" in text


def test_pictures_are_links_to_the_search_page_where_the_config_has_its_address() -> None:
    changed = [{"id": "a b&[1].jpg", "jaccard": 0.1, "rbo": 0.1, "old": [], "new": []}]
    report = DONE | {"gate": {"verdict": "fail", "reasons": ["recall"], "changed": changed}}
    assert "](" not in page(report, None, "backfill", "c.yaml")
    text = page(report | {"page_url": "https://pages.example/"}, None, "backfill", "c.yaml")
    assert "[The images, with their pictures](https://pages.example/status?corpus=c)" in text
    link = "https://pages.example/compare?corpus=c&id=a%20b%26%5B1%5D.jpg"
    assert f"- [a b&\\[1\\].jpg]({link})" in text


@pytest.mark.parametrize("planned", [False, True])
def test_a_run_that_failed_says_what_is_safe_what_is_not_and_how_to_go_on(planned: bool) -> None:
    report = {"corpus": "c"} | ({"listing": "l"} if planned else {})
    text = page(report, TransientError("503"), "run", "c.yaml")
    assert "# pinery run, corpus c: Failed" in text
    assert "**503**" in text
    assert "**Next:** `pinery run c.yaml` goes on where this run was" in text
    assert ("**Not safe:**" in text) == planned
    assert ("nothing was embedded, upserted or deleted" in text) == (not planned)


def test_a_refusal_leaves_nothing_in_between_and_a_wrong_config_is_one_line() -> None:
    refused = page({"corpus": "c", "listing": "l"}, RefusedError("too many"), "run", "c.yaml")
    assert "**Safe:**" in refused
    assert "**Not safe:**" not in refused
    wrong = page({}, ConfigError("no such key"), "run", "c.yaml")
    head = "# pinery run, corpus c.yaml: ConfigError\n\n**no such key**\n\n**Next:** correct the config"
    assert wrong.startswith(head)
    assert "Safe" not in wrong


def test_a_heap_of_reasons_is_cut() -> None:
    many = {"quarantined": {f"reason {number:03}": 1 for number in range(30)}}
    text = page(DONE | {"not_indexed": many}, None, "run", "c.yaml")
    assert "… and 10 more reasons" in text
    assert text.count("reason 0") == 20
