"""Previews what a run would do, how long it would take and what it would cost, without a model or a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pinery.checkpoint.listings import write_listing
from pinery.corpus.corpus import Corpus
from pinery.corpus.stored import temporary_folder, undisturbed
from pinery.errors import EmptyListingError, PineryError
from pinery.planning.estimate import total
from pinery.reports import Preview
from pinery.sources.selection import left_out_line
from pinery.steps.foresee import Foreseen, Seen, foresee, look_up
from pinery.steps.make_plan import PlanOptions
from pinery.steps.rates import last_reports
from pinery.steps.seal import seal


def preview(
    corpus: Corpus,
    limit: int | None = None,
    *,
    allow_deletes: bool = False,
    allow_changes: bool = False,
    retry_quarantined: bool = False,
) -> Preview:
    """List the corpus and count what `run` with these flags would do for all targets, with estimates of time and cost.

    Raises EmptyListingError, RefusedError where the config's model isn't the live one, ConfigError where two items have
    one id or `limit` is too high, and what listing and a look at the live index raise.
    """
    options = PlanOptions(limit, allow_deletes, allow_changes, retry_quarantined)
    seen, remarks = _look_up_all(corpus)
    with temporary_folder("plan") as folder:
        corpus.source.check()
        listing = folder / "listing.parquet"
        if write_listing(corpus.source.list_batches(), listing, lambda _: None) == 0:
            raise EmptyListingError(corpus.config.corpus, left_out_line(corpus.source.left_out))
        found = undisturbed(lambda: _foresee_all(corpus, seen, listing, options))
    return _preview(corpus, options, found, remarks)


def _look_up_all(corpus: Corpus) -> tuple[list[Seen], list[str]]:
    """Return the targets that a run would bring true, the main one first, and remarks on them."""
    if corpus.known_card() is None:
        return [look_up(corpus, None)], _unresolved(corpus)
    served = corpus.serve()
    seen, remarks = [look_up(corpus, corpus.open_target(served.main))], [served.note] if served.note else []
    for entry in served.kept:
        try:
            seen.append(look_up(corpus, corpus.open_target(entry)))
        except PineryError as error:
            remarks.append(f"index {entry.name}, which is kept true until {entry.until}, would be left out: {error}")
            continue
        if seen[-1].refused:
            why = "; ".join(seen.pop().refused)
            remarks.append(f"index {entry.name}, which is kept true until {entry.until}, would be left out: {why}")
    return seen, remarks


def _unresolved(corpus: Corpus) -> list[str]:
    live = corpus.alias()[0].live
    if live is None:
        return []
    return [
        f"the config's model {corpus.config.model.name} was never resolved in this state, and live is"
        f" {live.card.name} in index {live.name}: unless both are one model, a run is refused, and `pinery backfill`"
        " fills an index beside it"
    ]


def _foresee_all(corpus: Corpus, seen: Sequence[Seen], listing: Path, options: PlanOptions) -> list[Foreseen]:
    reports, found = last_reports(corpus), list[Foreseen]()
    for number, one in enumerate(seen):
        before = frozenset(done.plan.model_key for done in found)
        found.append(foresee(corpus, one, listing, options, reports, "kept" if number else "live", before))
    return found


def _preview(corpus: Corpus, options: PlanOptions, found: Sequence[Foreseen], remarks: Sequence[str]) -> Preview:
    main, *others = (one.plan for one in found)
    sealed = seal(corpus, corpus.alias()[0], options, found[0].listing, [one.target for one in found])
    return Preview(
        corpus=corpus.config.corpus,
        model_key=main.model_key,
        index=main.index,
        listed=main.listed,
        new=main.new,
        changed=main.changed,
        relabelled=main.relabelled,
        removed=main.removed,
        deleted=main.removed,
        unchanged=main.unchanged,
        quarantined=main.quarantined,
        rejected=main.rejected,
        to_embed=main.to_embed,
        to_upsert=main.to_upsert,
        to_delete=main.to_delete,
        limited=options.limit,
        parts=main.parts + sum(one.parts for one in others),
        refused=(*main.refused, *(f"index {one.index}: {reason}" for one in others for reason in one.refused)),
        left_out=dict(corpus.source.left_out),
        remarks=(*corpus.source.remarks(), *remarks),
        targets=(main, *others),
        estimate=total(one.plan.estimate for one in found),
        serial=sealed.serial,
        seal=asdict(sealed),
    )
