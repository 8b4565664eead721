"""The candidate of a backfill: which target it is, what the alias notes of it, and which listing it is to be at."""

from collections.abc import Callable
from dataclasses import replace

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.corpus.corpus import Corpus
from pinery.corpus.outage import retry_through_outage
from pinery.corpus.run import HeldTarget, Run
from pinery.corpus.served import Served
from pinery.errors import ConfigError, RefusedError
from pinery.indexes.open_index import list_indexes
from pinery.records import ModelCard
from pinery.steps.list_items import Listing, copy_current_listing
from pinery.target_settings import PineconeSettings


def candidate_of(corpus: Corpus) -> Callable[[Alias], Served]:
    """Return the choice of the candidate that a corpus' config names with the model of the backfill; see `open_run`.

    A candidate with these model settings goes on with the card that it began with; otherwise the model's reference is
    resolved anew. The choice raises ConfigError before the first run and where the index is another target's,
    RefusedError where the model's index is live or kept already.
    """
    resolved: list[ModelCard] = []

    def choose(alias: Alias) -> Served:
        if alias.live is None or corpus.current_listing() is None:
            raise ConfigError(
                f"corpus {corpus.config.corpus} has no live index yet, so there is nothing to compare a new model with:"
                " `pinery run` makes one, with any model"
            )
        if not resolved:
            resolved.append(_begun(corpus, alias) or corpus.cards.resolve_anew())
        entry = corpus.named_with(resolved[0])
        _refuse_known(alias, alias.live, entry)
        return Served(entry)

    return choose


def _begun(corpus: Corpus, alias: Alias) -> ModelCard | None:
    """Return the card of the candidate that was begun with the config's model settings and index, if there is one."""
    for one in alias.candidates:
        same = one.model is not None and corpus.settings_of(one) == corpus.config.model
        if same and one.same_place(corpus.named_with(one.card)):
            return one.card
    return None


def _refuse_known(alias: Alias, live: IndexEntry, entry: IndexEntry) -> None:
    if entry.card.key == live.card.key:
        raise RefusedError(
            f"{entry.card.name} (model key {entry.card.key}) is the live model already, in index {live.name}. For"
            " another index with the same vectors set index.name and use `pinery run`"
        )
    kept = next((one for one in alias.kept if one.same_target(entry)), None)
    if kept is not None:
        raise RefusedError(
            f"index {kept.name} with {kept.card.name} is kept true until {kept.until}, by every run: `pinery promote"
            f" CONFIG --index {kept.name}` makes it live"
        )
    taken = next((one for one in alias.entries() if one.same_place(entry) and one.card.key != entry.card.key), None)
    if taken is not None:
        raise ConfigError(
            f"index {entry.name} holds vectors of {taken.card.name} (model key {taken.card.key}), and a backfill fills"
            " an index of its own: give another name with --index"
        )


def note_candidate(held: HeldTarget, gate: str = "", listing: str = "") -> None:
    """Have the alias know the candidate, with the verdict of the gate once there is one."""
    entry = replace(held.target.entry, gate=gate, listing=listing)
    missed = f"candidate {entry.name} is not noted"
    held.run.seen.change(lambda alias: alias.with_candidate(entry), missed, held.check)


def say_new_index(held: HeldTarget) -> None:
    """Say how many indexes the Pinecone project has before the backfill makes one more, for projects have a quota."""
    config = held.target.config
    if held.identity is None and isinstance(config.index, PineconeSettings):
        found = retry_through_outage(held, lambda: list_indexes(config))
        held.run.note(
            f"indexes in the Pinecone project, whose plan limits their number: {len(found)}; this backfill makes"
            f" {held.target.name} beside them"
        )


def newer_listing(run: Run, than: Listing) -> Listing | None:
    """Return a copy of the current listing where it is another one than `than`."""
    return None if run.corpus.current_listing() == than.name else copy_current_listing(run)
