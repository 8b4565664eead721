"""A preview counts what a run would do, and changes nothing."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pinery.errors import ConfigError, RefusedError
from pinery.steps.preview import preview
from tests.corpora import config, paint
from tests.filled import bring, keep_true, opened
from tests.pinecone_server.server import PineconeServer


@pytest.mark.parametrize("version", ["stat", "content"])
def test_before_the_first_run_all_is_new_and_no_state_is_made(images: Path, tmp_path: Path, version: str) -> None:
    source = {"kind": "folder", "path": str(images), "version": version}
    told = preview(opened(config(images, tmp_path / "state", source=source)), None)
    assert (told.listed, told.new, told.to_embed, told.to_upsert) == (12, 12, 12, 12)
    assert (told.model_key, told.index, told.refused, told.estimate.embed_seconds) == (None, None, (), None)
    assert not (tmp_path / "state").exists()


def test_with_nothing_to_do_nothing_is_counted_and_the_state_stays_as_it_is(filled: dict[str, Any]) -> None:
    before = sorted(path for path in Path(filled["state"]).rglob("*.parquet"))
    told = preview(opened(filled), None)
    assert (told.listed, told.unchanged, told.to_embed, told.to_upsert, told.refused) == (12, 12, 0, 0, ())
    assert told.model_key == opened(filled).target.card.key
    assert sorted(path for path in Path(filled["state"]).rglob("*.parquet")) == before


def test_a_limit_is_counted_and_one_that_can_not_be_is_refused(filled: dict[str, Any]) -> None:
    fresh = filled | {"namespace": "fresh"}
    told = preview(opened(fresh), 3)
    assert (told.listed, told.to_upsert, told.limited) == (12, 3, 3)
    with pytest.raises(ConfigError, match="`limit` 13 is above the 12 items"):
        preview(opened(fresh), 13)


def test_what_a_run_would_be_refused_for_is_told_and_no_error(filled: dict[str, Any]) -> None:
    opened(filled).target.index.leave_mark("99-deadbeef")
    [reason] = preview(opened(filled), None).refused
    assert "another copy of this state, under lease epoch 99" in reason


def test_an_emptied_index_is_written_again_as_a_whole(filled: dict[str, Any]) -> None:
    opened(filled).target.index.drop()
    assert preview(opened(filled), None).to_upsert == 12


@pytest.fixture
def own(filled: dict[str, Any], tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """The filled corpus over images of its own, and their folder."""
    images = tmp_path / "own"
    shutil.copytree(filled["source"]["path"], images)  # with the times of the files, and so with their versions
    return filled | {"source": filled["source"] | {"path": str(images)}}, images


def test_each_section_names_its_first_items(own: tuple[dict[str, Any], Path]) -> None:
    settings, images = own
    paint(images / "red-9.jpg", "red", 9)
    paint(images / "red-0.jpg", "red", 100)
    (images / "blue-0.jpg").unlink()
    told = preview(opened(settings))
    assert (told.new, told.changed, told.removed, told.deleted, told.unchanged) == (1, 1, 1, 1, 10)
    assert (told.to_embed, told.to_upsert, told.to_delete, told.parts) == (2, 2, 1, 1)
    [target] = told.targets
    assert target.examples["new"] == ("red-9.jpg",)
    assert target.examples["changed"] == ("red-0.jpg",)
    assert target.examples["removed"] == ("blue-0.jpg",)
    assert target.examples["unchanged"][:2] == ("blue-1.jpg", "blue-2.jpg")
    assert (
        told.action == f"Embed 2 images, write {told.estimate.bytes / 1e3:.1f} KB to 1 index, delete 1 row from 1 index"
    )


def test_new_labels_are_relabelled_and_embed_nothing(filled: dict[str, Any]) -> None:
    settings = filled | {"source": filled["source"] | {"metadata": "^(?P<colour>[^-]+)-"}}
    told = preview(opened(settings))
    assert (told.relabelled, told.to_embed, told.to_upsert) == (12, 0, 12)
    assert told.targets[0].examples["relabelled"][0] == "blue-0.jpg"
    assert told.estimate.embed_seconds is not None, "nothing to embed takes no time, whatever the rate"


def test_every_target_that_a_run_would_bring_true_is_told(own: tuple[dict[str, Any], Path]) -> None:
    settings, images = own
    live = opened(settings).target.entry
    other = replace(live, name="another-model", card=replace(live.card, decoder="scaled"))
    keep_true(settings, replace(live, name="same-model"), other)
    paint(images / "red-9.jpg", "red", 9)
    told = preview(opened(settings))
    assert [(one.role, one.index, one.model_key) for one in told.targets] == [
        ("live", live.name, live.card.key),
        ("kept", "same-model", live.card.key),
        ("kept", "another-model", other.card.key),
    ]
    assert [(one.to_embed, one.to_upsert, one.unchanged, one.parts) for one in told.targets] == [
        (1, 1, 12, 1),
        (0, 13, 0, 0),  # the live target has it embedded by then
        (13, 13, 0, 3),
    ]
    assert (told.to_embed, told.to_upsert, told.parts, told.estimate.images, told.estimate.rows) == (1, 1, 4, 14, 27)
    assert told.action.startswith("Embed 14 images, write ")
    assert told.action.endswith(" to 3 indexes")


def test_a_kept_target_that_a_run_would_leave_out_is_a_remark(filled: dict[str, Any]) -> None:
    live = opened(filled).target.entry
    keep_true(filled, replace(live, name="kept"))
    foreign = Path(filled["state"]) / "lance" / "kept"
    shutil.copytree(Path(filled["state"]) / "lance" / live.name, foreign)
    path = foreign / "pinery.json"
    path.write_text(path.read_text().replace(opened(filled).state_id, "another-state"))
    told = preview(opened(filled))
    assert [one.index for one in told.targets] == [live.name]
    assert any("kept" in remark and "would be left out" in remark for remark in told.remarks)


def test_options_that_let_a_plan_pass_are_those_of_a_run(own: tuple[dict[str, Any], Path]) -> None:
    settings, images = own
    for number in range(4):
        (images / f"red-{number}.jpg").unlink()
    told = preview(opened(settings))
    assert "`allow_deletes`" in told.refused[0]
    assert told.action == "A run would refuse this. Once that is settled: delete 4 rows from 1 index"
    assert preview(opened(settings), allow_deletes=True).refused == ()


def test_what_could_not_be_embedded_is_quarantined_unless_it_is_tried_again(own: tuple[dict[str, Any], Path]) -> None:
    settings, images = own
    (images / "red-9.jpg").write_bytes(b"no image")
    bring(settings)
    told = preview(opened(settings))
    assert (told.quarantined, told.targets[0].examples["quarantined"], told.action) == (
        1,
        ("red-9.jpg",),
        "Nothing to do",
    )
    assert preview(opened(settings), retry_quarantined=True).action.startswith("Embed 1 image")


def test_the_config_of_another_model_than_the_live_one_is_refused(filled: dict[str, Any]) -> None:
    settings = filled | {"model": {"name": "descriptor", "decode": "exact"}}
    entry = opened(filled).target.entry
    corpus = opened(settings)
    card = replace(entry.card, decoder="other")
    corpus.store.write(corpus.cards._name, json.dumps(asdict(card)).encode())
    with pytest.raises(RefusedError, match="pinery backfill"):
        preview(opened(settings))


def test_a_model_that_was_never_resolved_is_remarked_on_where_another_is_live(filled: dict[str, Any]) -> None:
    told = preview(opened(filled | {"model": {"name": "descriptor", "decode": "exact"}}))
    assert told.index is None
    assert "unless both are one model, a run is refused" in told.remarks[-1]


def test_the_serial_is_the_same_until_something_moves(own: tuple[dict[str, Any], Path]) -> None:
    settings, images = own
    serial = preview(opened(settings)).serial
    assert preview(opened(settings)).serial == serial
    assert preview(opened(settings), 12).serial != serial
    paint(images / "red-9.jpg", "red", 9)
    assert preview(opened(settings)).serial != serial


def test_the_cost_of_pinecone_is_told_by_the_prices_of_the_config(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    settings = config(images, tmp_path / "state", index={"kind": "pinecone"})
    unresolved = preview(opened(settings)).estimate
    assert (unresolved.write_units, unresolved.dollars, unresolved.seconds) == (None, None, None)
    corpus = opened(settings)
    assert corpus.state_id
    assert corpus.cards.card.dimension, "the model is resolved, and nothing is embedded"
    told = preview(opened(settings)).estimate
    assert told.write_units is not None
    assert told.write_units > 0
    assert told.dollars is not None
    assert told.dollars.expected == pytest.approx(told.write_units * 4e-6)
    assert told.prices == "2026-11-04"
    assert told.storage_dollars is not None
    own = preview(opened(settings | {"prices": {"write_units": 1e6, "date": "2027-02-03"}})).estimate
    assert own.dollars is not None
    assert (own.dollars.expected, own.prices) == (told.write_units, "2027-02-03")
    unknown = preview(opened(settings | {"prices": {"write_units": None}})).estimate
    assert (unknown.dollars, unknown.write_units) == (None, told.write_units)
