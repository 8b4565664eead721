"""Previews what a run would do, how long it would take and what it would cost, without a model or a change."""

from pathlib import Path

from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.listings import write_listing
from pinery.config import PineconeSettings
from pinery.corpus.corpus import Corpus
from pinery.corpus.stored import last_report, temporary_folder, undisturbed
from pinery.corpus.tables import planned
from pinery.corpus.target import Target
from pinery.errors import EmptyListingError
from pinery.indexes.engine import ask
from pinery.planning.cost import METADATA_BYTES, upsert_write_units, write_unit_dollars
from pinery.planning.loading import estimate_load
from pinery.planning.plan import PlanCounts, count_plan, define_plan
from pinery.reports import Estimate, Preview
from pinery.sources.selection import left_out_line
from pinery.steps.find_index import refuse_foreign
from pinery.steps.make_plan import PlanOptions, judge
from pinery.steps.marks import why_behind


def preview(corpus: Corpus, limit: int | None) -> Preview:
    """List the corpus and count what `run` would do, with an estimate of time and, for Pinecone, of write units.

    Raises EmptyListingError, and what listing raises.
    """
    target = None if corpus.known_card() is None else corpus.target
    ledger, refused = _look_up(corpus, target) if target else (None, [])
    counts, reasons = _foreseen(corpus, target, ledger, PlanOptions(limit=limit))
    return Preview(
        corpus=corpus.config.corpus,
        model_key=target.card.key if target else None,
        index=target.name if target else None,
        listed=counts.listed,
        new=counts.new,
        changed=counts.changed,
        relabelled=counts.relabelled,
        deleted=counts.deleted,
        unchanged=counts.unchanged,
        quarantined=counts.quarantined,
        rejected=counts.rejected,
        to_embed=counts.to_embed,
        to_upsert=counts.to_embed + counts.to_upsert,
        limited=limit,
        refused=(*refused, *reasons),
        left_out=dict(corpus.source.left_out),
        remarks=tuple(corpus.source.remarks()),
        estimate=_estimate(corpus, target, counts),
    )


def _look_up(corpus: Corpus, target: Target) -> tuple[Ledger | None, list[str]]:
    """Return the ledger that a run would go by, and why the index would refuse that run."""
    index, what = target.index, f"index {target.name}"
    found = ask(index.describe, what)
    refuse_foreign(corpus, target, found)
    ledger: Ledger | None = target.ledger_of(found)
    if ledger and ledger.files() and ask(index.count, what) == 0:
        ledger = None  # a run would write every row again
    why = why_behind(target, ask(index.read_mark, what))
    return ledger, [why] if why else []


def _foreseen(
    corpus: Corpus, target: Target | None, ledger: Ledger | None, options: PlanOptions
) -> tuple[PlanCounts, list[str]]:
    """Return what a run would do, and why the guards would refuse it."""
    with temporary_folder("plan") as folder:
        corpus.source.check()
        listing = folder / "listing.parquet"
        if write_listing(corpus.source.list_batches(), listing, lambda _: None) == 0:
            raise EmptyListingError(corpus.config.corpus, left_out_line(corpus.source.left_out))
        return undisturbed(lambda: _planned(corpus, target, ledger, options, listing))


def _planned(
    corpus: Corpus, target: Target | None, ledger: Ledger | None, options: PlanOptions, listing: Path
) -> tuple[PlanCounts, list[str]]:
    with planned(listing.parent, listing, target.checkpoint if target else None, ledger) as con:
        counts, reasons = judge(con, options, corpus)
        if options.limit is not None:
            define_plan(con, limit=options.limit, retry_quarantined=options.retry_quarantined)
            counts = count_plan(con)
        return counts, reasons


def _estimate(corpus: Corpus, target: Target | None, counts: PlanCounts) -> Estimate:
    last = last_report(corpus)
    rate = (last.images_per_second if last else None) or 0.0
    units = import_dollars = None
    if target is not None and isinstance(corpus.config.index, PineconeSettings):
        rows, dimension = counts.to_embed + counts.to_upsert, target.card.dimension
        units = upsert_write_units(rows, dimension, METADATA_BYTES)
        if not counts.held and corpus.config.import_obstacle() is None:
            import_dollars = round(estimate_load(rows, dimension, METADATA_BYTES).import_dollars, 2)
    return Estimate(
        embed_seconds=round(counts.to_embed / rate, 1) if rate else None,
        write_units=units,
        dollars=None if units is None else round(write_unit_dollars(units), 2),
        import_dollars=import_dollars,
    )
