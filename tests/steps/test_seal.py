"""The seal of a plan changes with the settings that bear on it, and with what is recorded of a target."""

from pathlib import Path
from typing import Any

import pytest

from pinery.planning.seal import SealedListing
from pinery.steps.make_plan import PlanOptions
from pinery.steps.seal import Recorded, recorded, seal
from tests.corpora import paint
from tests.filled import bring, opened

LISTING = SealedListing(0, "", {}, ())


def settings_of(settings: dict[str, Any]) -> dict[str, str]:
    corpus = opened(settings)
    return dict(seal(corpus, corpus.alias()[0], PlanOptions(), LISTING, ()).settings)


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"run": {"part_rows": 6}}, ["run"]),
        ({"namespace": "other"}, ["namespace"]),
        ({"model": {"name": "descriptor", "decode": "exact"}}, ["model"]),
        ({"prices": {"write_units": 9}, "keep": "1d", "cache_bytes": 5}, []),
    ],
    ids=["run", "namespace", "model", "prices"],
)
def test_only_settings_that_bear_on_a_plan_count(
    filled: dict[str, Any], changes: dict[str, Any], moved: list[str]
) -> None:
    before, after = settings_of(filled), settings_of(filled | changes)
    assert [name for name in before if before[name] != after[name]] == moved


def test_a_run_that_writes_moves_what_is_recorded_and_one_without_work_does_not(
    filled: dict[str, Any], tmp_path: Path
) -> None:
    assert recorded(opened(filled | {"namespace": "fresh"}).target).ledger == Recorded().ledger
    before = recorded(opened(filled).target)
    assert before.checkpoint != Recorded().checkpoint
    bring(filled)
    assert recorded(opened(filled).target) == before
    images = tmp_path / "more"
    for number in range(13):
        paint(images / f"red-{number}.jpg", "red", number)
    source = filled["source"] | {"path": str(images)}
    bring(filled | {"source": source}, PlanOptions(allow_deletes=True, allow_changes=True))
    after = recorded(opened(filled).target)
    assert after.ledger != before.ledger
    assert after.checkpoint != before.checkpoint
