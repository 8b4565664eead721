"""Corpora whose index the steps bring true by themselves, with no Prefect; and copies of one that was made before."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.alias import IndexEntry, write_alias
from pinery.checkpoint.listings import write_listing
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.corpus.progress import Silent
from pinery.corpus.run import HeldTarget
from pinery.records import Item, Stored
from pinery.reports import RunReport
from pinery.steps.bulk_import import resume_import
from pinery.steps.close_run import close_run
from pinery.steps.delete_rows import delete_rows
from pinery.steps.embed_part import embed_part, open_embedding
from pinery.steps.find_index import ensure_index, find_index
from pinery.steps.list_items import list_items, publish_listing
from pinery.steps.make_plan import PlanOptions, make_plan
from pinery.steps.refusals import Refusals
from pinery.steps.report import Brought, Done, reported
from pinery.steps.spot_check import spot_check
from pinery.steps.upsert_part import upsert_part
from tests.corpora import config, item_batches, paint


def opened(settings: dict[str, Any]) -> Corpus:
    """The corpus of these settings."""
    return Corpus(load_config(settings))


def rows_of(settings: dict[str, Any]) -> dict[str, Stored]:
    """Return the rows that the config's index holds, by id."""
    index = opened(settings).target.index
    return {id: stored for page in index.list_ids() for id, stored in index.fetch(page).items()}


def counts(report: Mapping[str, Any]) -> dict[str, int]:
    """Return the counts of a run that are not zero."""
    names = ("new", "changed", "relabelled", "deleted", "unchanged", "embedded", "reused", "upserted", "quarantined")
    return {name: report[name] for name in names if report[name]}


def keep_true(settings: dict[str, Any], *entries: IndexEntry) -> None:
    """Have every run keep these indexes true beside the live one, and no others."""
    corpus = opened(settings)
    alias, tag = corpus.alias()
    kept = [replace(entry, until="2999-01-01T00:00:00+00:00") for entry in entries]
    write_alias(corpus.store, corpus.paths.alias, replace(alias, kept=kept), tag)


@contextlib.contextmanager
def holding(settings: dict[str, Any]) -> Iterator[HeldTarget]:
    """The main target in a run that has found its index, or made it."""
    with open_run(opened(settings)) as run:
        find_index(run.main)
        ensure_index(run.main)
        yield run.main


def bring(settings: dict[str, Any], options: PlanOptions = PlanOptions()) -> RunReport:  # noqa: B008  it is frozen
    """Bring the config's target true, as the flow `reindex` does; what is left to embed goes part by part."""
    with open_run(opened(settings)) as run, reported(run) as reporter:
        held = run.main
        find_index(held)
        resume_import(held)
        listing = list_items(run)
        plan = make_plan(held, listing.path, options)
        listing = publish_listing(run, listing)
        reporter.passed(plan, listing, options.limit)
        ensure_index(held)
        refusals = Refusals(held, plan.sound)
        with open_embedding(held, reporter.attempts, plan.rows) as embedding:
            parts = [embed_part(embedding, work) for work in plan.embed]
        upserts = [upsert_part(held, work, refusals) for work in (*plan.embed, *plan.upsert)]
        refusals.judge()
        done = Done(parts, upserts)
        deleted = delete_rows(held, listing.path, plan, done.rejected, options)
        counts = spot_check(held, listing.path, options.limit, plan)
        return close_run(run, reporter, [Brought(held, done, deleted, counts)], may_replace=True)


class Heard(Silent):
    """Counts the items that a run says are done, by stage, and keeps its notes."""

    def __init__(self) -> None:
        self.done, self.notes = Counter[str](), list[str]()

    def advance(self, stage: str, items: int) -> None:
        self.done[stage] += items

    def note(self, text: str) -> None:
        self.notes.append(text)


class Failing:
    """An action that fails some times, and then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left, self.calls = error, times, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return "answer"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A corpus of twelve images in the embedded index; whoever changes something takes `filled`."""
    folder = tmp_path_factory.mktemp("made")
    for label in ("red", "green", "blue"):
        for number in range(4):
            paint(folder / "images" / f"{label}-{number}.jpg", label, number)
    settings = config(folder / "images", folder / "state")
    bring(settings)
    return settings


@pytest.fixture
def filled(made: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A copy of that corpus' state, index and all, over the same images."""
    shutil.copytree(made["state"], tmp_path / "state")
    return made | {"state": str(tmp_path / "state")}


def current_listing(held: HeldTarget) -> Path:
    """The current listing of the run's corpus, as a local file."""
    return held.target.store.local(str(held.run.corpus.current_listing()))


def listing_of(held: HeldTarget, items: Iterable[Item]) -> Path:
    """A listing of these items that is published nowhere."""
    path = held.scratch / "listing-of-a-test.parquet"
    write_listing(item_batches(items), path, lambda _: None)
    return path


def listed_items(held: HeldTarget) -> list[Item]:
    """The items of the current listing."""
    return [Item(**row) for row in pq.read_table(current_listing(held)).to_pylist()]
