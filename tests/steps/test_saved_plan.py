"""A saved plan is read from a file or a text, brings its own options, and refuses what it was not made for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinery.errors import ConfigError, RefusedError
from pinery.steps.make_plan import PlanOptions, make_plan
from pinery.steps.preview import preview
from pinery.steps.saved_plan import Agreed, read_plan
from tests.filled import bring, current_listing, holding, listed_items, listing_of, opened


def saved(settings: dict[str, Any], **options: Any) -> str:
    return json.dumps(preview(opened(settings), **options).to_dict())


def test_a_plan_is_read_from_its_file_its_text_or_its_seal(filled: dict[str, Any], tmp_path: Path) -> None:
    text = saved(filled, limit=3)
    path = tmp_path / "plan.json"
    path.write_text(text)
    seal = read_plan(str(path))
    assert seal == read_plan(text) == read_plan(seal.to_json())
    assert seal.serial == json.loads(text)["serial"]
    assert len(seal.to_json()) < 2000, "small enough for a flow's parameter"


@pytest.mark.parametrize("text", ["{}", "{", '{"seal": 1}', "no-such-file", "[]"])
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="the plan"):
        read_plan(text)


def test_its_options_are_the_run_s_and_others_are_refused_beside_it(filled: dict[str, Any]) -> None:
    text = saved(filled, limit=3, allow_deletes=True)
    assert Agreed(text, PlanOptions()).options == PlanOptions(3, allow_deletes=True)
    assert Agreed(text, PlanOptions(3, allow_deletes=True)).options.limit == 3
    assert Agreed(None, PlanOptions(4)).options.limit == 4
    for other in (PlanOptions(4, allow_deletes=True), PlanOptions(allow_changes=True)):
        with pytest.raises(ConfigError, match="`plan` brings its own options"):
            Agreed(text, other)


def judged(settings: dict[str, Any], text: str, change: Callable[[Any], None] = lambda _: None) -> None:
    """Judge the plan in a run of these settings, whose items `change` changed."""
    agreed = Agreed(text, PlanOptions())
    with holding(settings) as held:
        agreed.look(held.run)
        items = listed_items(held)
        change(items)
        listing = listing_of(held, items)
        agreed.refuse_moved(held.run, listing, {held: make_plan(held, listing, agreed.options)})


def test_where_nothing_moved_nothing_is_refused(filled: dict[str, Any]) -> None:
    judged(filled, saved(filled))
    judged(filled, saved(filled, limit=5))
    judged(filled | {"prices": {"write_units": 1}}, saved(filled))


def test_the_items_that_moved_are_named(filled: dict[str, Any]) -> None:
    def drop_two(items: Any) -> None:
        del items[:2]

    with pytest.raises(RefusedError, match=r"2 items changed since: blue-0\.jpg, blue-1\.jpg\. Nothing was changed"):
        judged(filled, saved(filled), drop_two)


def test_the_ledger_of_another_run_and_other_settings_are_named(filled: dict[str, Any]) -> None:
    fresh = filled | {"namespace": "fresh"}
    text = saved(fresh)
    with pytest.raises(RefusedError, match="the config's `namespace` is another one"):
        judged(filled, text)
    bring(fresh)
    with pytest.raises(RefusedError, match=r"another index is live: .* the ledger of index .* / fresh moved on"):
        judged(fresh, text)


def test_a_plan_of_another_corpus_is_an_error(filled: dict[str, Any]) -> None:
    text = saved(filled)
    with holding(filled | {"corpus": "other", "namespace": "n"}) as held, pytest.raises(ConfigError, match="of corpus"):
        Agreed(text, PlanOptions()).look(held.run)


def test_an_index_that_somebody_emptied_is_not_what_it_was(filled: dict[str, Any]) -> None:
    text = saved(filled)
    opened(filled).target.index.drop()
    agreed = Agreed(text, PlanOptions())
    with holding(filled) as held:
        agreed.look(held.run)
        listing = current_listing(held)
        plan = make_plan(held, listing, agreed.options)
        assert plan.rows == 12
        with pytest.raises(RefusedError, match=r"is not what it was: rows to upsert 12, by the plan 0|moved on"):
            agreed.refuse_moved(held.run, listing, {held: plan})
