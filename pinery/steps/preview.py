"""What a run would do, how long it would take and what it would cost; loads no model and changes nothing."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.listings import write_listing
from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.root import state_id
from pinery.config import PineconeSettings
from pinery.errors import EmptyListingError
from pinery.indexes.engine import ask
from pinery.planning.cost import METADATA_BYTES, upsert_write_units, write_unit_dollars
from pinery.planning.loading import estimate_load
from pinery.planning.plan import PlanCounts
from pinery.records import ModelCard
from pinery.sources.selection import told
from pinery.steps.corpus import Corpus
from pinery.steps.find_index import open_ledger, refuse_foreign
from pinery.steps.make_plan import PlanOptions, foresee
from pinery.steps.marks import why_behind
from pinery.steps.stored import last_report, undisturbed

NEVER_WRITTEN = 1 << 30
"""A lease epoch for a ledger that is only read."""


def preview(corpus: Corpus, limit: int | None) -> dict[str, Any]:
    """List the corpus and count what `run` would do, with an estimate of time and, for Pinecone, of write units.

    Raises EmptyListingError, and what listing raises.
    """
    options = PlanOptions(limit=limit)
    card = None if state_id(corpus.store, create=False) is None else corpus.stored_card()
    counts, refused = _foreseen(corpus, card, options)
    return {
        "corpus": corpus.config.corpus,
        "model_key": card.key if card else None,
        "index": corpus.index_name if card else None,
        "listed": counts.listed,
        "new": counts.new,
        "changed": counts.changed,
        "relabelled": counts.relabelled,
        "deleted": counts.deleted,
        "unchanged": counts.unchanged,
        "quarantined": counts.quarantined,
        "rejected": counts.rejected,
        "to_embed": counts.to_embed,
        "to_upsert": counts.to_embed + counts.to_upsert,
        "limited": limit,
        "refused": [*_behind(corpus, card), *refused],
        "left_out": dict(corpus.source.left_out),
        "remarks": corpus.source.remarks(),
        "estimate": _estimate(corpus, card, counts),
    }


def _foreseen(corpus: Corpus, card: ModelCard | None, options: PlanOptions) -> tuple[PlanCounts, list[str]]:
    ledger: Ledger | None = None
    checkpoint: Checkpoint | None = None
    if card is not None:
        corpus.refuse_another_model()
        found = ask(corpus.index.describe, f"index {corpus.index_name}")
        refuse_foreign(corpus, found)
        checkpoint = Checkpoint(corpus.store, corpus.paths.parts(card.key))
        ledger = open_ledger(corpus, found, NEVER_WRITTEN)
        if ledger.files() and ask(corpus.index.count, f"index {corpus.index_name}") == 0:
            ledger = None  # a run would write every row again
    folder = Path(tempfile.mkdtemp(prefix="pinery-plan-"))
    try:
        corpus.source.check()
        listing = folder / "listing.parquet"
        if write_listing(corpus.source.list_items(), listing, lambda _: None) == 0:
            raise EmptyListingError(corpus.config.corpus, told(corpus.source.left_out))
        return undisturbed(lambda: foresee(folder, listing, checkpoint, ledger, options, corpus))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _behind(corpus: Corpus, card: ModelCard | None) -> list[str]:
    why = "" if card is None else why_behind(corpus, ask(corpus.index.read_mark, f"index {corpus.index_name}"))
    return [why] if why else []


def _estimate(corpus: Corpus, card: ModelCard | None, counts: PlanCounts) -> dict[str, float | int | None]:
    rate = float((last_report(corpus) or {}).get("images_per_second") or 0.0)
    units = import_dollars = None
    if card is not None and isinstance(corpus.config.index, PineconeSettings):
        rows = counts.to_embed + counts.to_upsert
        units = upsert_write_units(rows, card.dimension, METADATA_BYTES)
        if not counts.held and corpus.config.import_obstacle() is None:
            import_dollars = round(estimate_load(rows, card.dimension, METADATA_BYTES).import_dollars, 2)
    return {
        "embed_seconds": round(counts.to_embed / rate, 1) if rate else None,
        "write_units": units,
        "dollars": None if units is None else round(write_unit_dollars(units), 2),
        "import_dollars": import_dollars,
    }
