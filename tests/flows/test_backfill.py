"""A new model fills a fresh index beside the live one, is judged, takes over, and can be taken back."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import flows.backfill
from flows.backfill import backfill
from flows.reindex import reindex
from pinery.checkpoint.alias import write_alias
from pinery.errors import ConfigError, NotPassedError, RefusedError, TransientError
from pinery.search.query import Query, search
from pinery.steps.promote import promote, rollback
from pinery.steps.status import status
from tests.corpora import config, paint
from tests.filled import bring, opened
from tests.pinecone_server.server import PineconeServer
from tests.small_models import squeezenet_weights

LANCE = pytest.mark.parametrize("settings", ["lance"], indirect=True)
"""For what doesn't depend on the kind of index."""
SCALED = {"name": "descriptor", "decode": "scaled"}
"""A model that is another one by its card, and about as good."""


@pytest.fixture(params=[pytest.param("lance", marks=pytest.mark.slow), "pinecone"])
def settings(
    request: pytest.FixtureRequest, images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> dict[str, Any]:
    """A corpus of twelve images with a live index."""
    made = config(images, tmp_path / "state", index={"kind": request.param})
    bring(made)
    return made


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Has something happen right before the next call of a step of the backfill."""

    def at(step: str, happen: Callable[[], object]) -> None:
        original = getattr(flows.backfill, step)

        def then(*args: Any) -> Any:
            monkeypatch.setattr(flows.backfill, step, original)
            happen()
            return original(*args)

        monkeypatch.setattr(flows.backfill, step, then)

    return at


def always_the_same(folder: Path) -> dict[str, Any]:
    """Model settings of a network that answers the same for every image."""
    settings = squeezenet_weights(folder)
    weights = torch.load(settings["weights"])
    weights["classifier.1.weight"].zero_()
    weights["classifier.1.bias"].fill_(1)
    torch.save(weights, settings["weights"])
    return settings | {"sha256": hashlib.sha256(Path(settings["weights"]).read_bytes()).hexdigest()}


def live_model(settings: dict[str, Any]) -> tuple[str, int]:
    """Return the decoder of the live model, which tells the two apart, and the generation."""
    alias = opened(settings).alias()[0]
    assert alias.live is not None
    return alias.live.card.decoder, alias.generation


def found(settings: dict[str, Any], images: Path, **query: Any) -> tuple[str, int]:
    """Return what a search by an image of the corpus finds first, and how many rows it finds in all."""
    answer = search(opened(settings), Query(image=str(images / "red-1.jpg"), top_k=100, **query))
    return answer.matches[0].id, len(answer.matches)


def test_a_backfill_fills_judges_and_promotes_and_a_rollback_goes_back(settings: dict[str, Any], images: Path) -> None:
    report = backfill(settings, SCALED, promote=True)
    assert (report["gate"]["verdict"], report["promoted"], report["embedded"]) == ("pass", True, 12)
    assert live_model(settings) == ("scaled", 2)
    assert report["index"] == status(opened(settings)).to_dict()["live"]["index"]
    assert found(settings, images) == ("red-1.jpg", 12)
    paint(images / "red-9.jpg", "red", 9)
    night = reindex(settings)
    assert [(row["role"], row["embedded"], row["held"]) for row in night["targets"]] == [
        ("live", 1, 13),
        ("kept", 1, 13),
    ]
    change = rollback(opened(settings))
    assert (change.what, change.generation, change.former and change.former["index"]) == (
        "rolled-back",
        3,
        report["index"],
    )
    assert live_model(settings) == ("exact", 3)
    assert found(settings, images) == ("red-1.jpg", 13)
    after = reindex(settings)
    assert [(row["role"], row["embedded"], row["upserted"]) for row in after["targets"]] == [
        ("live", 0, 0),
        ("kept", 0, 0),
    ]
    assert [one.what for one in opened(settings).alias()[0].history] == ["run", "promoted", "rolled-back"]


def test_without_promote_the_live_target_stays_and_the_candidate_can_be_searched(
    settings: dict[str, Any], images: Path
) -> None:
    report = backfill(settings, SCALED)
    assert (report["promoted"], report["targets"][0]["role"]) == (False, "candidate")
    assert live_model(settings) == ("exact", 1)
    [candidate] = status(opened(settings)).to_dict()["candidates"]
    assert (candidate["index"], candidate["gate"]) == (report["index"], "pass")
    assert found(settings, images, index=report["index"]) == ("red-1.jpg", 12)
    with pytest.raises(RefusedError, match=f"a candidate: `pinery promote CONFIG --index {report['index']}`"):
        reindex(settings | {"model": SCALED})
    change = promote(opened(settings), report["index"])
    assert (change.gate, live_model(settings)) == ("pass", ("scaled", 2))
    assert reindex(settings | {"model": SCALED})["embedded"] == 0, "and the new model's config is right by now"


def test_a_model_that_is_worse_is_not_promoted(settings: dict[str, Any], images: Path, tmp_path: Path) -> None:
    worse = always_the_same(tmp_path)
    for number in range(20, 44):
        label = ("red", "green", "blue")[number % 3]
        paint(images / f"{label}-{number}.jpg", label, number)
    reindex(settings, allow_changes=True)
    with pytest.raises(NotPassedError, match="so nothing was promoted") as caught:
        backfill(settings, worse, promote=True)
    report = caught.value.result
    assert (report["gate"]["verdict"], report["promoted"]) == ("fail", False)
    assert live_model(settings) == ("exact", 1)
    with pytest.raises(RefusedError, match=r"the gate's verdict on index .* is `fail`"):
        promote(opened(settings), report["index"])
    change = promote(opened(settings), report["index"], force=True)
    assert change.gate == "fail, forced"
    assert opened(settings).alias()[0].history[-1].gate == "fail, forced"


def test_a_backfill_catches_up_with_the_nights_beside_it(
    settings: dict[str, Any], images: Path, meanwhile: Callable[[str, Callable[[], object]], None]
) -> None:
    def night() -> None:
        paint(images / "blue-9.jpg", "blue", 9)
        (images / "red-0.jpg").unlink()
        assert reindex(settings)["embedded"] == 1

    def another() -> None:
        paint(images / "green-9.jpg", "green", 9)
        assert reindex(settings)["embedded"] == 1

    meanwhile("embed_and_upsert", night)
    meanwhile("judge_candidate", another)
    report = backfill(settings, SCALED, promote=True)
    assert (report["promoted"], report["moved"]) == (True, 1), "red-0.jpg was listed, and gone"
    assert found(settings, images)[1] == 13
    assert [row["upserted"] for row in reindex(settings)["targets"]] == [0, 0]


def test_a_backfill_that_was_interrupted_goes_on_with_what_it_has(
    settings: dict[str, Any], meanwhile: Callable[[str, Callable[[], object]], None]
) -> None:
    def fail() -> None:
        raise TransientError("the index is away")

    for step in ("judge_candidate", "note_candidate", "catch_up"):
        meanwhile(step, fail)
        with pytest.raises(TransientError, match="the index is away"):
            backfill(settings, SCALED, promote=True)
        assert live_model(settings) == ("exact", 1)
    assert backfill(settings, SCALED, promote=True)["embedded"] == 0
    assert live_model(settings) == ("scaled", 2)


def test_a_rollback_to_an_index_that_is_behind_is_refused(settings: dict[str, Any], images: Path) -> None:
    with pytest.raises(RefusedError, match="has no kept index to go back to"):
        rollback(opened(settings))
    backfill(settings, SCALED, promote=True)
    kept = opened(settings).alias()[0].kept[0]
    for path in Path(settings["state"]).glob(f"test/indexes/*/{kept.name}/*/ledger/*.parquet"):
        path.unlink()
    with pytest.raises(RefusedError, match=r"is not at the current listing: 12 rows to upsert\. `pinery run` brings"):
        rollback(opened(settings))
    assert live_model(settings) == ("scaled", 2)
    reindex(settings)
    assert rollback(opened(settings)).generation == 3


def test_a_kept_target_that_can_not_be_brought_true_is_left_out_with_a_warning(
    settings: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    weights = squeezenet_weights(tmp_path)
    backfill(settings, weights)
    promote(opened(settings), opened(settings).alias()[0].candidates[0].name, force=True)
    rollback(opened(settings))
    Path(weights["weights"]).unlink()
    paint(images / "red-9.jpg", "red", 9)
    report = reindex(settings)
    live, kept = report["targets"]
    assert (live["held"], live["verified"], live["error"]) == (13, True, None)
    assert (kept["role"], kept["verified"]) == ("kept", False)
    assert "squeezenet.pth" in kept["error"]
    assert report["verified"]
    squeezenet_weights(tmp_path)
    assert reindex(settings)["targets"][1]["held"] == 13


@LANCE
def test_a_kept_target_is_retired_when_its_time_is_over(settings: dict[str, Any]) -> None:
    backfill(settings, SCALED, promote=True)
    corpus = opened(settings)
    alias, tag = corpus.alias()
    over = replace(alias.kept[0], until="2020-01-01T00:00:00+00:00")
    write_alias(corpus.store, corpus.paths.alias, replace(alias, kept=[over]), tag)
    report = reindex(settings)
    assert len(report["targets"]) == 1
    assert [one["index"] for one in report["retired"]] == [over.name]
    assert opened(settings).alias()[0].kept == []
    with pytest.raises(RefusedError, match="no kept index"):
        rollback(opened(settings))


@LANCE
def test_a_promotion_that_lost_the_race_is_refused_with_what_is_live(
    settings: dict[str, Any], meanwhile: Callable[[str, Callable[[], object]], None]
) -> None:
    third = {"name": "descriptor", "decode": "fast"}
    backfill(settings, third)
    [other] = opened(settings).alias()[0].candidates
    meanwhile("promote_candidate", lambda: promote(opened(settings), other.name))
    with pytest.raises(RefusedError, match=f"was not made live: meanwhile .* that is .*{other.name}"):
        backfill(settings, SCALED, promote=True)
    assert live_model(settings) == ("fast", 2)


@pytest.mark.parametrize(
    ("changes", "model", "index", "error", "match"),
    [
        ({}, "descriptor", None, RefusedError, "is the live model already"),
        ({"index": {"kind": "lance", "name": "mine"}}, SCALED, None, ConfigError, "give the new model's index a name"),
        ({}, SCALED, "taken", ConfigError, "index taken holds vectors of descriptor"),
        ({"corpus": "another"}, SCALED, None, ConfigError, "has no live index yet"),
        ({}, {"decode": "scaled"}, None, ConfigError, "the new model has no name"),
        ({}, {"name": "descriptor", "decod": "x"}, None, ConfigError, "decod"),
        ({}, "nonsense:x", None, ConfigError, "nonsense"),
        ({}, SCALED, "Not A Name", ConfigError, "index.name"),
    ],
    ids=str,
)
def test_what_can_not_be_backfilled_is_refused_before_anything_is_embedded(
    images: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    model: Any,
    index: str | None,
    error: type[Exception],
    match: str,
) -> None:
    made = config(images, tmp_path / "state", index={"kind": "lance", "name": "taken" if index == "taken" else None})
    reindex(made)
    keys = sorted(path.name for path in (tmp_path / "state" / "test").iterdir())
    with pytest.raises(error, match=match):
        backfill(made | changes, model, index)
    assert sorted(path.name for path in (tmp_path / "state" / "test").iterdir()) == keys
    assert opened(made).alias()[0].candidates == []


def test_an_index_that_is_gone_is_not_promoted(settings: dict[str, Any]) -> None:
    report = backfill(settings, SCALED)
    opened(settings).open_target(opened(settings).alias()[0].candidates[0]).index.drop()
    with pytest.raises(
        RefusedError,
        match=r"is not at the current listing: it holds 0 of 12 rows\. `pinery backfill` with the same model",
    ):
        promote(opened(settings), report["index"])
    assert live_model(settings) == ("exact", 1)
