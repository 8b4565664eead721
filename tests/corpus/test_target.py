"""A target knows what the state recorded of its index; entries of an index that is gone are void."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pinery.corpus.target import NEVER_WRITTEN, Recorded, Target
from pinery.errors import DamagedError
from pinery.records import Identity
from tests.corpora import config
from tests.filled import opened


def identity(target: Target) -> Path:
    return Path(target.store.root, target.recorded_at.identity)


def test_what_is_recorded_of_an_index_is_read_again(filled: dict[str, Any]) -> None:
    target = opened(filled).target
    recorded = target.recorded()
    assert recorded is not None
    found = target.index.describe()
    assert found is not None
    assert recorded.incarnation == found.incarnation
    changed = Recorded("incarnation", 7, ("7-a", "6-b"))
    target.record(changed)
    assert opened(filled).target.recorded() == changed


def test_before_the_first_run_nothing_is_recorded(images: Path, tmp_path: Path) -> None:
    target = opened(config(images, tmp_path / "state")).target
    assert target.recorded() is None
    assert target.recorded_ledger() is None
    assert target.ledger_of(None).files() == []


def test_a_record_of_a_version_without_marks_is_read(filled: dict[str, Any]) -> None:
    target = opened(filled).target
    identity(target).write_text(json.dumps({"incarnation": "i", "first_epoch": 3}))
    assert target.recorded() == Recorded("i", 3, ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"incarnation": "i", "first_epoch": 1, "more": 2}',
        "[]",
        '{"incarnation": "i", "first_epoch": null}',
    ],
)
def test_a_record_that_is_not_what_was_written_is_damaged(filled: dict[str, Any], text: str) -> None:
    target = opened(filled).target
    identity(target).write_text(text)
    with pytest.raises(DamagedError, match=r"identity\.json is damaged: .* --full --repair"):
        target.recorded()


def test_the_ledger_counts_only_for_the_incarnation_that_it_speaks_of(filled: dict[str, Any]) -> None:
    target = opened(filled).target
    found = target.index.describe()
    assert found is not None
    assert len(target.ledger_of(found).files()) == len(target.recorded_ledger().files()) > 0  # type: ignore[union-attr]
    for other in (None, Identity(found.state, "made anew", found.model_key)):
        assert target.ledger_of(other).files() == []


def test_entries_come_last_though_the_lease_counts_anew(filled: dict[str, Any], tmp_path: Path) -> None:
    target = opened(filled).target
    found, before = target.index.describe(), target.recorded_ledger()
    assert before is not None
    newest = before.files()[-1].name.removeprefix("snapshot-")
    name = target.ledger_of(found, epoch=1).intend(pa.array(["red-0.jpg"]), tmp_path)
    assert name > newest
    assert before.files()[-1].name == name
    assert int(name.split("-")[0]) < NEVER_WRITTEN


def test_a_target_is_of_its_own_model_and_place(made: dict[str, Any]) -> None:
    target = opened(made).target
    assert target.checkpoint.names() == ["part-00000000", "part-00000001", "part-00000002"]
    assert target.model().card == target.card
    assert target.index.name == target.name
    assert target.recorded_at.folder == f"test/indexes/lance/{target.name}/test"
