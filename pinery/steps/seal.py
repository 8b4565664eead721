"""Takes the seal of a plan: digests of the settings, of the alias, and of what is recorded of each target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from pinery.checkpoint.alias import Alias
from pinery.corpus.corpus import Corpus
from pinery.corpus.target import Target
from pinery.planning.plan import SECTIONS, PlanCounts
from pinery.planning.seal import Seal, SealedListing, SealedTarget, digest
from pinery.steps.make_plan import PlanOptions

BEARING = ("namespace", "source", "model", "index", "state", "run", "upsert")
"""The config's keys that bear on a plan."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Digests of what is recorded of a target."""

    checkpoint: str = digest([])
    ledger: str = digest([])


def recorded(target: Target) -> Recorded:
    """Return digests of the names of the target's parts, and of its ledger's files and what the index rejected."""
    store, paths = target.store, target.recorded_at
    folders = (paths.ledger, paths.rejected, paths.doubts)
    files = sorted(name for folder in folders for name in store.names(folder))
    return Recorded(digest(target.checkpoint.names()), digest(files))


def seal(
    corpus: Corpus,
    alias: Alias,
    options: PlanOptions,
    listing: SealedListing,
    targets: Iterable[SealedTarget],
) -> Seal:
    """Return the seal of a plan."""
    settings = corpus.config.model_dump(mode="json", include=set(BEARING))
    live = alias.live
    return Seal(
        corpus=corpus.config.corpus,
        options=asdict(options),
        settings={name: digest(settings[name]) for name in BEARING},
        generation=alias.generation,
        live=f"{live.place} with model key {live.card.key}" if live else "",
        listing=listing,
        targets=tuple(targets),
    )


def sections_of(counts: PlanCounts) -> dict[str, int]:
    """Return the number of items in each section of a plan."""
    return {name: getattr(counts, name) for name in SECTIONS} | {"removed": counts.deleted}


def work_of(counts: PlanCounts) -> Mapping[str, int]:
    """Return the work of a plan."""
    return {name: getattr(counts, name) for name in ("to_embed", "to_upsert", "to_delete")}
