"""A candidate takes over only where its rows, its index and its neighbours are as good as the live target's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pinery.corpus.progress import Silent
from pinery.corpus.run import HeldTarget
from pinery.corpus.target import Target
from pinery.errors import LeaseLostError, StoppedError
from pinery.records import Item
from pinery.reports import Gate
from pinery.steps import spot_check
from pinery.steps.gate import judge_candidate
from tests.corpora import config
from tests.filled import bring, current_listing, holding, opened, rows_of
from tests.indexes.rows import batch
from tests.pinecone_server.server import PineconeServer
from tests.small_models import squeezenet_weights
from tests.vectors import NEW, OLD, Vectors, filled_with, labelled_items, settings_of, vectors, written_listing

SAMPLE = Path(__file__).parent.parent.parent / "data" / "sample"
KINDS = 8


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spot_check, "PAUSES", (0.01,))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Settings of the sample's pictures with a sound model and with random weights, both brought to one state."""
    folder = tmp_path_factory.mktemp("models")
    common = config(SAMPLE, folder / "state", model=OLD, run={"part_rows": 64})
    both = {"sound": common, "random": common | {"model": squeezenet_weights(folder) | {"decode": "fast"}}}
    for settings in both.values():
        bring(settings)
        # Nothing is live, so that a run of the other model may begin.
        (folder / "state" / "test" / "alias.json").unlink()
    return both


def judged(candidate: dict[str, Any], live: dict[str, Any] | None) -> Gate:
    with holding(candidate) as held:
        return judge_candidate(opened(live).target if live else None, held, current_listing(held))


def test_random_weights_are_refused_in_the_place_of_a_sound_model(models: dict[str, dict[str, Any]]) -> None:
    gate = judged(models["random"], models["sound"])
    assert (gate.verdict, gate.queries, gate.recall_at_10) == ("fail", 160, 1)
    [reason] = gate.reasons
    assert reason.startswith("same-label precision@5 falls from 0.9")
    assert reason.endswith("more than gate.precision_drop 0.02.")
    assert gate.precision_at_5 is not None
    assert gate.precision_at_5.high < -0.02
    assert gate.jaccard_at_10 is not None
    assert 0 < gate.jaccard_at_10 < 1
    assert len(gate.changed) == 10
    assert all(len(one.old) == len(one.new) == 10 for one in gate.changed)
    assert all(one.id not in {at.id for at in (*one.old, *one.new)} for one in gate.changed)
    assert Gate.from_dict(json.loads(json.dumps(gate.to_dict()))) == gate
    assert replace(judged(models["random"], models["sound"]), seconds=gate.seconds) == gate


def test_a_sound_model_passes_in_the_place_of_random_weights(models: dict[str, dict[str, Any]]) -> None:
    gate = judged(models["sound"], models["random"])
    assert gate.verdict == "pass"
    assert gate.precision_at_5 is not None
    assert gate.precision_at_5.low > 0
    assert [reason.partition(" ")[0] for reason in gate.reasons] == ["the", "recall@10", "same-label"]


def test_a_model_in_its_own_place_changes_nothing(models: dict[str, dict[str, Any]]) -> None:
    gate = judged(models["sound"], models["sound"])
    assert (gate.verdict, gate.jaccard_at_10, gate.changed) == ("pass", 1, ())
    assert gate.rbo == pytest.approx(1)
    assert gate.precision_at_5 is not None
    assert (gate.precision_at_5.low, gate.precision_at_5.high) == (0, 0)


def test_a_candidate_is_judged_alone_where_nothing_is_live(filled: dict[str, Any]) -> None:
    gate = judged(filled, None)
    assert (gate.verdict, gate.queries, gate.recall_at_10) == ("pass", 12, 1)
    assert (gate.jaccard_at_10, gate.rbo, gate.precision_at_5, gate.changed) == (None, None, None, ())
    assert gate.reasons[-1] == "nothing is live yet, so there is no other model to compare with."


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("missing", "the index holds 11 rows, and 12 are live and not rejected"),
        ("extra", "the index holds 13 rows, and 12 are live and not rejected"),
        ("vector", "2 rows of a sample differ from what was sent to the index: "),
        ("metadata", "1 rows of a sample differ from what was sent to the index: red-0.jpg has other metadata"),
        ("in doubt", "1 rows are still to upsert and 0 to delete"),
    ],
)
def test_an_index_that_is_not_what_it_should_be_is_refused(filled: dict[str, Any], kind: str, told: str) -> None:
    rows = rows_of(filled)
    red, blue = rows["red-0.jpg"], rows["blue-1.jpg"]
    changed = {
        "extra": batch(["stray"], [red.values]),
        "vector": batch(
            ["red-0.jpg", "blue-1.jpg"], [blue.values, red.values], [dict(red.metadata), dict(blue.metadata)]
        ),
        "metadata": batch(["red-0.jpg"], [red.values], [{"label": "blue"}]),
    }
    with holding(filled) as held:
        if kind in changed:
            held.index.upsert(changed[kind])
        elif kind == "missing":
            held.index.delete(["red-0.jpg"])
        else:
            held.ledger.intend(changed["metadata"]["id"], held.scratch)
        gate = judge_candidate(opened(filled).target, held, current_listing(held))
    assert gate.verdict == "fail"
    assert gate.reasons[0].startswith(told)
    if kind == "vector":
        assert "red-0.jpg has another vector" in gate.reasons[0]


def test_an_index_that_finds_too_little_is_refused(tmp_path: Path) -> None:
    """Every other vector lies elsewhere in the index."""
    items, values = labelled_items(["a"] * 300), vectors(1, 300)
    with filled_with(settings_of(tmp_path / "state", NEW), items, values) as held:
        ids, labels = [item.id for item in items[::2]], [{"label": "a"}] * 150
        held.index.upsert(batch(ids, vectors(2, 150).tolist(), labels))
        gate = judge_candidate(None, held, written_listing(tmp_path, items))
    assert gate.verdict == "fail"
    assert gate.recall_at_10 is not None
    assert 0.3 < gate.recall_at_10 < 0.7
    assert f"recall@10 is {gate.recall_at_10:.4f}".rstrip("0") + ", below gate.recall 0.95." in gate.reasons


class TwoModels:
    """Items of eight kinds, with vectors about the centre of their kind; how near, says each model's spread."""

    def __init__(self, folder: Path, rows: int = 400, labelled: int | None = None, **changes: Any) -> None:
        kinds = [at % KINDS for at in range(rows)]
        shown = rows if labelled is None else labelled
        self.items = labelled_items([f"kind {kind}" if at < shown else None for at, kind in enumerate(kinds)])
        self.kinds, self.folder, self.changes = kinds, folder, changes
        self.listing = written_listing(folder, self.items)

    def target(self, spread: float, seed: int = 1) -> Target:
        """The live target: its vectors are so wide about their centres."""
        settings = settings_of(self.folder / "state", OLD, **self.changes)
        with filled_with(settings, self.items, self.vectors(spread, seed)):
            return opened(settings).target

    def vectors(self, spread: float, seed: int) -> Vectors:
        return vectors(seed, len(self.items), self.kinds, spread)

    def judged(self, live: float, candidate: float) -> Gate:
        """The candidate by its spread, in the place of the live target by its own."""
        old = self.target(live)
        settings = settings_of(self.folder / "state", NEW, **self.changes)
        with filled_with(settings, self.items, self.vectors(candidate, 2)) as held:
            return judge_candidate(old, held, self.listing)


def test_queries_are_drawn_until_they_decide(tmp_path: Path) -> None:
    gate = TwoModels(tmp_path, gate={"queries": 20}).judged(live=1.2, candidate=1.4)
    assert (gate.verdict, gate.queries) == ("fail", 80)
    assert "80 queries), more than" in gate.reasons[0]


def test_what_four_times_the_queries_do_not_decide_is_undecided(tmp_path: Path) -> None:
    gate = TwoModels(tmp_path, gate={"queries": 20, "precision_drop": 0}).judged(live=1.2, candidate=1.2)
    assert (gate.verdict, gate.queries) == ("undecided", 80)
    assert gate.reasons[0].endswith(
        "which doesn't say whether it falls by more than gate.precision_drop 0; a larger gate.queries may."
    )
    assert gate.precision_at_5 is not None
    assert gate.precision_at_5.low < 0 < gate.precision_at_5.high


def test_no_more_queries_are_drawn_than_there_are(tmp_path: Path) -> None:
    gate = TwoModels(tmp_path, rows=30, gate={"queries": 20, "precision_drop": 0}).judged(live=1.2, candidate=1.2)
    assert (gate.verdict, gate.queries) == ("undecided", 30)


def test_without_labels_rows_and_recall_decide(tmp_path: Path) -> None:
    gate = TwoModels(tmp_path, rows=100, labelled=0).judged(live=0.1, candidate=3)
    assert (gate.verdict, gate.precision_at_5) == ("pass", None)
    assert gate.reasons[-1] == "no query has a label, so same-label precision could not be judged."
    assert gate.jaccard_at_10 is not None
    assert len(gate.changed) == 10


def test_a_few_labels_are_shown_and_decide_nothing(tmp_path: Path) -> None:
    gate = TwoModels(tmp_path, rows=100, labelled=6).judged(live=0.1, candidate=3)
    assert gate.verdict == "pass"
    assert gate.precision_at_5 is not None
    assert gate.reasons[-1] == "only 6 queries have a label, too few to judge same-label precision."


@pytest.mark.parametrize("rows", [1, 2, 5, 10, 11])
def test_a_small_corpus_is_judged_by_what_it_has(tmp_path: Path, rows: int) -> None:
    gate = TwoModels(tmp_path, rows=rows).judged(live=1, candidate=1)
    assert (gate.verdict, gate.queries) == ("pass" if rows < 10 else gate.verdict, rows)
    assert gate.recall_at_10 == (None if rows == 1 else 1)
    assert gate.jaccard_at_10 is not None
    assert any("only one vector" in reason for reason in gate.reasons) == (rows == 1)
    few = f"there are only {rows} vectors, so that a query has {rows - 1} neighbours."
    assert (few in gate.reasons) == (1 < rows < 11)


def test_models_without_a_common_item_are_not_compared(tmp_path: Path) -> None:
    two = TwoModels(tmp_path, rows=60)
    old: list[Any] = [*two.vectors(1, 1)]
    old[:30] = [None] * 30
    new: list[Any] = [*two.vectors(1, 2)]
    new[30:] = [None] * 30
    settings = settings_of(tmp_path / "state", OLD)
    with filled_with(settings, two.items, old):
        pass
    with filled_with(settings_of(tmp_path / "state", NEW), two.items, new) as held:
        gate = judge_candidate(opened(settings).target, held, two.listing)
    assert (gate.verdict, gate.queries, gate.recall_at_10, gate.jaccard_at_10) == ("pass", 30, 1, None)
    assert gate.reasons[-1] == "no item has a vector of both models, so their neighbours could not be compared."


def test_only_items_with_both_vectors_are_queries(tmp_path: Path) -> None:
    two = TwoModels(tmp_path, rows=60)
    values: list[Any] = [*two.vectors(1, 2)]
    values[10:50] = [None] * 40
    old = two.target(1)
    with filled_with(settings_of(tmp_path / "state", NEW), two.items, values) as held:
        gate = judge_candidate(old, held, two.listing)
    assert (gate.queries, gate.recall_at_10) == (20, 1)
    assert gate.reasons[-1] == "40 items of the live target have no vector by the new model."
    assert {one.id for one in gate.changed} <= {item.id for item in (*two.items[:10], *two.items[50:])}


def test_a_candidate_without_vectors_is_refused(tmp_path: Path) -> None:
    two = TwoModels(tmp_path, rows=5)
    old = two.target(1)
    with filled_with(settings_of(tmp_path / "state", NEW), two.items, [None] * 5) as held:
        gate = judge_candidate(old, held, two.listing)
    assert (gate.verdict, gate.queries, gate.recall_at_10) == ("fail", 0, None)
    assert gate.reasons[0] == "none of the 5 listed items has a vector that may be in the index."


def test_rows_that_the_index_rejects_are_not_missing(tmp_path: Path) -> None:
    two = TwoModels(tmp_path, rows=40)
    unfit = [replace(one, error="too large") if at < 3 else one for at, one in enumerate(two.items)]
    with filled_with(settings_of(tmp_path / "state", NEW), unfit, two.vectors(1, 2)) as held:
        assert held.index.count() == 37
        gate = judge_candidate(None, held, written_listing(tmp_path, unfit))
    assert (gate.verdict, gate.queries, gate.recall_at_10) == ("pass", 37, 1)


class Interrupting(Silent):
    """Calls back when a stage moves on."""

    def __init__(self) -> None:
        self.act = lambda: None
        self.advanced = list[str]()

    def advance(self, stage: str, items: int) -> None:
        if stage in ("neighbours", "recall"):
            self.advanced.append(stage)
            self.act()


@pytest.mark.parametrize("error", [StoppedError, LeaseLostError], ids=lambda one: one.__name__)
def test_a_gate_ends_between_two_batches(tmp_path: Path, error: type[Exception]) -> None:
    two, progress = TwoModels(tmp_path, rows=200), Interrupting()
    old = two.target(1)

    def interrupt(held: HeldTarget) -> None:
        held.run.stop() if error is StoppedError else held.lease.release()

    with filled_with(settings_of(tmp_path / "state", NEW), two.items, two.vectors(1, 2), progress=progress) as held:
        progress.act = lambda: interrupt(held)
        with pytest.raises(error):
            judge_candidate(old, held, two.listing)
    assert progress.advanced == ["neighbours"]


def test_an_index_on_pinecone_is_judged_the_same_way(pinecone_environment: PineconeServer, tmp_path: Path) -> None:
    index = {"kind": "pinecone"}
    gate = TwoModels(tmp_path, rows=60, index=index).judged(live=0.2, candidate=0.2)
    assert (gate.verdict, gate.recall_at_10) == ("pass", 1)
    assert pinecone_environment.log.count("query") >= 60


def test_the_draw_does_not_depend_on_the_order_of_the_listing(tmp_path: Path) -> None:
    items: list[Item] = labelled_items(["a"] * 50)
    drawn = []
    for name, order in (("one", items), ("other", items[::-1])):
        (tmp_path / name).mkdir()
        settings = settings_of(tmp_path / name / "state", NEW, gate={"queries": 3})
        values = {item.id: value for item, value in zip(items, vectors(1, 50), strict=True)}
        heard = Interrupting()
        with filled_with(settings, order, np.stack([values[item.id] for item in order]), progress=heard) as held:
            gate = judge_candidate(None, held, written_listing(tmp_path / name, order))
        assert heard.advanced.count("recall") == gate.queries == 3
        drawn.append(replace(gate, seconds=0))
    assert drawn[0] == drawn[1]
