"""The rates of the last runs: of those with this model, on this kind of machine, and only of whole ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pinery.embedding.machine import kind_of_machine
from pinery.planning.estimate import Amount
from pinery.reports import Range, RunReport, estimate_lines
from pinery.steps.make_plan import PlanOptions, make_plan
from pinery.steps.rates import estimate_plan, estimate_target, last_reports, rates
from tests.filled import current_listing, holding, opened


def report_of(filled: dict[str, Any]) -> RunReport:
    [report] = last_reports(opened(filled))
    return report


def test_a_run_says_on_which_kind_of_machine_it_was(filled: dict[str, Any]) -> None:
    assert report_of(filled).machine == kind_of_machine(opened(filled).config)


def test_only_runs_like_this_one_count(filled: dict[str, Any]) -> None:
    own = replace(report_of(filled), images_per_second=50.0)
    machine, key, kind = str(own.machine), own.model_key, own.kind
    others = [
        replace(own, machine="another", images_per_second=1.0),
        replace(own, machine=None, images_per_second=2.0),
        replace(own, model_key="another", images_per_second=3.0),
        replace(own, embedded=0, images_per_second=0.0),
    ]
    amount = Amount.assumed(12, 12)
    found = rates([*others, own, replace(own, images_per_second=60.0)], machine, key, kind, amount)
    assert (found.images, found.runs) == (Range(50.0, 55.0, 60.0), 2)
    assert found.rows is not None
    assert rates(others, machine, key, kind, amount).images is None
    assert rates(others[1:2], machine, key, kind, amount).rows is None
    assert rates([own], machine, key, "pinecone", amount).rows is None, "another kind of index has another rate"


def test_what_is_no_report_of_a_whole_run_is_left_out(filled: dict[str, Any]) -> None:
    folder = Path(filled["state"]) / "test" / "runs"
    [path] = folder.glob("*.json")
    data = json.loads(path.read_text())
    for name, text in {
        "20200101T000000000000Z-aaaaaa": "{",
        "20200102T000000000000Z-bbbbbb": json.dumps(data | {"run": "20200102T000000000000Z-bbbbbb", "state": "failed"}),
    }.items():
        (folder / f"{name}.json").write_text(text)
    assert [one.run for one in last_reports(opened(filled))] == [data["run"]]


def test_the_estimate_of_a_plan_is_said_before_it_begins(filled: dict[str, Any]) -> None:
    with holding(filled | {"namespace": "fresh"}) as held:
        plan = make_plan(held, current_listing(held), PlanOptions())
        told = estimate_plan(held, plan)
    assert (told.images, told.rows, told.load, told.dollars) == (0, 12, "upsert", Range(0, 0, 0))
    assert estimate_lines(told)[0].startswith("writing 12 rows of ")


def test_an_estimate_for_a_target_goes_by_its_own_model_and_kind(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    entry = corpus.target.entry
    reports = [replace(report_of(filled), images_per_second=50.0)]
    known = estimate_target(corpus, entry, Amount.assumed(100, 100), reports=reports)
    assert known.embed_seconds is not None
    assert known.load_seconds is not None
    assert known.bytes == 100 * (4 * entry.card.dimension + 140)
    candidate = replace(entry, name="candidate", card=replace(entry.card, decoder="scaled"))
    unknown = estimate_target(corpus, candidate, Amount.assumed(100, 100), reports=reports)
    assert (unknown.embed_seconds, unknown.seconds, unknown.images_per_second) == (None, None, None)
