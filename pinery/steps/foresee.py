"""Foresees what a run would do for one of its targets, as ledger, checkpoint and index are now; nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pinery.checkpoint.ledger import Ledger
from pinery.config import Config
from pinery.cores import cores
from pinery.corpus.corpus import Corpus
from pinery.corpus.tables import planned
from pinery.corpus.target import Target
from pinery.embedding.machine import gpus
from pinery.errors import IndexMismatchError
from pinery.indexes.engine import ask
from pinery.planning.partition import part_rows, ranges
from pinery.planning.plan import PlanCounts, count_plan, define_plan
from pinery.planning.seal import SealedListing, SealedTarget, seal_listing
from pinery.planning.sections import amount_of, first_ids
from pinery.reports import RunReport, TargetPlan
from pinery.steps.find_index import refuse_foreign, refuse_owned
from pinery.steps.make_plan import PlanOptions, judge
from pinery.steps.marks import why_behind
from pinery.steps.rates import estimate_target, load_of
from pinery.steps.seal import Recorded, recorded, sections_of, work_of


@dataclass(frozen=True, slots=True)
class Seen:
    """A target as it was looked up; `target` is None while the config's model is not resolved."""

    target: Target | None
    ledger: Ledger | None = None
    emptied: bool = False
    """True where the index is empty against a full ledger."""
    refused: tuple[str, ...] = ()
    recorded: Recorded | None = None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a run would do for a target, and what that was made from."""

    plan: TargetPlan
    listing: SealedListing
    target: SealedTarget


def look_up(corpus: Corpus, target: Target | None) -> Seen:
    """Look at the index of a target, and at the ledger that a run would go by.

    Raises IndexMismatchError where the index is another's, and what the index raises.
    """
    if target is None:
        return Seen(None)
    before = recorded(target)
    index, what = target.index, f"index {target.name}"
    found = ask(index.describe, what)
    refuse_foreign(corpus, target, found)
    ledger = target.ledger_of(found)
    emptied = bool(ledger.files()) and not ask(index.holds_rows, what)
    why = _whose(target) or (why_behind(target, ask(index.read_mark, what)) if found else "")
    return Seen(target, ledger, emptied, (why,) if why else (), before)


def _whose(target: Target) -> str:
    """Return why another corpus' namespace is none of this one's; empty where it is this one's, or nobody's."""
    try:
        refuse_owned(target)
    except IndexMismatchError as error:
        return str(error)
    return ""


def foresee(
    corpus: Corpus,
    seen: Seen,
    listing: Path,
    options: PlanOptions,
    reports: Sequence[RunReport],
    role: str,
    embedded: frozenset[str | None],
) -> Foreseen:
    """Plan what brings the target to `listing`; `embedded` are the model keys of the targets before it in the run.

    Raises ConfigError where two items have one id, or the limit is above a dataset's size.
    """
    target, retry = seen.target, options.retry_quarantined
    checkpoint = target.checkpoint if target else None
    with planned(
        listing.parent, listing, checkpoint, seen.ledger, retry_quarantined=retry, doubted=seen.emptied
    ) as con:
        counts, reasons = judge(con, options, corpus)
        if options.limit is not None:
            define_plan(con, limit=options.limit, retry_quarantined=retry)
            counts = count_plan(con)
        examples, amount = first_ids(con), amount_of(con, counts)
        sealed, _ = seal_listing(con, sections_of(counts), ordered=options.limit is not None)
    key = target.card.key if target else None
    if key in embedded:
        amount = replace(amount, images=0)
    load, importable = load_of(target.config if target else corpus.config, counts, amount.rows, options.limit)
    entry = target.entry if target else None
    plan = TargetPlan(
        role=role,
        kind=corpus.config.index.kind if entry is None else entry.kind,
        index=entry.name if entry else None,
        namespace=entry.namespace if entry else corpus.config.namespace,
        model=entry.card.name if entry else None,
        model_key=key,
        listed=counts.listed,
        new=counts.new,
        changed=counts.changed,
        relabelled=counts.relabelled,
        removed=counts.deleted,
        unchanged=counts.unchanged,
        quarantined=counts.quarantined,
        rejected=counts.rejected,
        to_embed=amount.images,
        to_upsert=counts.to_embed + counts.to_upsert,
        to_delete=counts.to_delete,
        parts=_parts(corpus.config, target.card.dimension if target else None, amount.images),
        examples=examples,
        refused=(*seen.refused, *reasons),
        estimate=estimate_target(corpus, entry, amount, load=load, importable=importable, reports=reports),
    )
    return Foreseen(plan, sealed, _sealed_target(seen, counts))


def _sealed_target(seen: Seen, counts: PlanCounts) -> SealedTarget:
    target, before = seen.target, seen.recorded or Recorded()
    place, key = (target.entry.place, target.card.key) if target else ("", "")
    return SealedTarget(place, key, before.checkpoint, before.ledger, work_of(counts))


def _parts(config: Config, dimension: int | None, images: int) -> int:
    """Return how many parts so many images make on this machine; on Ray, where each has as many rows as it may."""
    if not images:
        return 0
    from pinery.embedding.places import place_for  # a plan with nothing to embed needn't wait for it

    most = config.run.part_rows if dimension is None else part_rows(config.run.part_rows, dimension)
    if config.runner.kind == "ray":
        return len(ranges(images, most))
    on_gpu = config.runner.kind != "threads" and config.model.device in ("auto", "cuda")
    place = place_for(config, images, gpus=len(gpus()) if on_gpu else 0, cores=cores())
    return len(ranges(images, place.part_rows(images, most)))
