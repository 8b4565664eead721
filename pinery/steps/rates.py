"""The rates of a corpus' last runs on this kind of machine, and what some work would take by them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pinery.checkpoint.alias import IndexEntry
from pinery.checkpoint.root import OF_RUN, only
from pinery.config import Config
from pinery.corpus.corpus import Corpus
from pinery.corpus.run import HeldTarget
from pinery.embedding.machine import kind_of_machine
from pinery.errors import DamagedError
from pinery.planning.estimate import Amount, Rates, estimate, rate_of
from pinery.planning.loading import Load, choose_load
from pinery.planning.plan import PlanCounts
from pinery.reports import Estimate, RunReport
from pinery.steps.make_plan import Plan
from pinery.steps.read_report import read_report
from pinery.target_settings import PineconeSettings

LAST = 20
"""The newest reports that rates are taken from."""
READ_AT_ONCE = 8


def estimate_target(
    corpus: Corpus,
    entry: IndexEntry | None,
    amount: Amount,
    *,
    load: Load = "upsert",
    importable: bool = False,
    reports: Sequence[RunReport] | None = None,
) -> Estimate:
    """Return what so much work for a target takes; `entry` is None while the model is not resolved.

    The rates are those of the `reports`, by default the last ones of the corpus. `importable` says whether a bulk
    import is possible, and `load` which way the rows go.
    """
    config = corpus.config
    known = last_reports(corpus) if reports is None else reports
    model_key, kind = (None, config.index.kind) if entry is None else (entry.card.key, entry.kind)
    found = rates(known, kind_of_machine(config), model_key, kind, amount)
    prices = config.prices if isinstance(config.index, PineconeSettings) else None
    dimension = None if entry is None else entry.card.dimension
    return estimate(amount, dimension, found, prices, load=load, importable=importable)


def estimate_plan(held: HeldTarget, plan: Plan, limit: int | None = None) -> Estimate:
    """Return what the plan of a target takes, before it begins; `estimate_lines` says it in words."""
    load, importable = load_of(held.target.config, plan.counts, plan.amount.rows, limit)
    return estimate_target(held.run.corpus, held.target.entry, plan.amount, load=load, importable=importable)


def load_of(config: Config, counts: PlanCounts, rows: int, limit: int | None) -> tuple[Load, bool]:
    """Return how a run would load so many rows, as far as nobody has to be asked, and whether it could import them."""
    importable = config.import_obstacle() is None and not counts.held and limit is None
    return choose_load(config.upsert.load, rows, None if importable else "no import is possible"), importable


def last_reports(corpus: Corpus) -> list[RunReport]:
    """Return the newest reports of completed runs; those that can't be read are left out."""
    store, folder = corpus.store, corpus.paths.runs

    def read(name: str) -> RunReport | None:
        with contextlib.suppress(DamagedError):
            return read_report(store, f"{folder}/{name}")
        return None

    names = only(OF_RUN, store.names(folder))[-LAST:]
    with ThreadPoolExecutor(READ_AT_ONCE) as threads:
        return [one for one in threads.map(read, names) if one is not None and one.state == "done"]


def rates(reports: Sequence[RunReport], machine: str, model_key: str | None, kind: str, amount: Amount) -> Rates:
    """Return the rates of those of the runs that were on such a machine, with that model and that kind of index."""
    here = [one for one in reports if one.machine == machine]
    images, runs = rate_of(
        [
            ((one.embedded or 0) + (one.reused or 0), one.images_per_second or 0.0)
            for one in here
            if one.model_key == model_key and one.embedded
        ],
        amount.images,
    )
    rows, _ = rate_of([_upserts(one) for one in here if one.kind == kind and not one.imported], amount.rows)
    return Rates(machine, images, rows, runs)


def _upserts(report: RunReport) -> tuple[int, float]:
    """Return how many rows a run upserted for all its targets, and how many in a second."""
    rows = sum(one.upserted for one in report.targets or ()) or report.upserted or 0
    seconds = (report.seconds or {}).get("upsert", 0.0)
    return rows, rows / seconds if seconds else 0.0
