"""What a run would do for one target is what its own plan does then."""

from pathlib import Path
from typing import Any

from pinery.checkpoint.listings import write_listing
from pinery.steps.find_index import find_index
from pinery.steps.foresee import foresee, look_up
from pinery.steps.make_plan import PlanOptions, make_plan
from pinery.steps.seal import work_of
from tests.filled import holding, opened


def test_an_emptied_index_is_foreseen_as_the_run_plans_it(filled: dict[str, Any], tmp_path: Path) -> None:
    opened(filled).target.index.drop()
    corpus = opened(filled)
    listing = tmp_path / "listing.parquet"
    write_listing(corpus.source.list_batches(), listing, lambda _: None)
    seen = look_up(corpus, corpus.target)
    assert seen.emptied
    told = foresee(corpus, seen, listing, PlanOptions(), (), "live", frozenset())
    with holding(filled) as held:
        find_index(held)
        plan = make_plan(held, listing, PlanOptions())
    assert told.target.work == work_of(plan.counts)
    assert (told.plan.unchanged, told.plan.to_upsert) == (plan.counts.unchanged, plan.rows) == (12, 12)


def test_a_namespace_of_another_corpus_is_foreseen_as_a_refusal(filled: dict[str, Any]) -> None:
    corpus = opened(filled | {"corpus": "thief", "namespace": "test"})
    [reason] = look_up(corpus, corpus.target).refused
    assert "belongs to corpus test" in reason
