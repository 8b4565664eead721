"""Make another target of a corpus the live one, or go back: one change of the alias, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.corpus.corpus import Corpus
from pinery.corpus.live import SeenAlias, now
from pinery.corpus.open_run import run_name
from pinery.corpus.run import HeldTarget
from pinery.corpus.stored import current_listing, planned_as_recorded, undisturbed
from pinery.errors import ConfigError, IndexMismatchError, RefusedError
from pinery.indexes.engine import ask
from pinery.planning.plan import PlanCounts, count_plan
from pinery.reports import Change, Promotion

PASS = "pass"


def promote(corpus: Corpus, index: str, *, force: bool = False) -> Promotion:
    """Make the candidate or kept target with that index name the live one; the former live one is kept.

    Raises RefusedError where the gate did not pass the candidate (unless `force`), where its index is not at the
    current listing, and where something else changed what is live meanwhile; ConfigError where no such target is known.
    """
    seen = SeenAlias(corpus)
    alias = seen.alias
    if alias.live is not None and alias.live.name == index:
        raise RefusedError(f"index {index} is live already, in generation {alias.generation}; nothing was changed")
    entry = _candidate(corpus, alias, index)
    gate = entry.gate
    if entry in alias.candidates and gate != PASS:
        if not force:
            raise RefusedError(_not_passed(entry))
        gate = f"{gate or 'not judged'}, forced"
    again = "`pinery run`" if entry in alias.kept else "`pinery backfill` with the same model"
    refuse_unless_current(corpus, entry, again)
    return make_live(seen, corpus, entry, Change(now(), _own_name(corpus), entry.name, "promoted", gate))


def promote_candidate(held: HeldTarget) -> Promotion:
    """Make the candidate that a run filled, and that passed the gate, the live target; see `promote`."""
    run, entry = held.run, held.target.entry
    refuse_unless_current(run.corpus, entry, "`pinery backfill` with the same model")
    change = Change(now(), run.name, entry.name, "promoted", PASS)
    return make_live(run.seen, run.corpus, entry, change, held.check)


def rollback(corpus: Corpus) -> Promotion:
    """Make the target live again that was before the last promotion, and keep the one that is live now.

    Raises RefusedError where none is kept, where its index is not at the current listing, and where something else
    changed what is live meanwhile.
    """
    seen = SeenAlias(corpus)
    kept = [one for one in seen.alias.kept if one.until > now()]
    if seen.alias.live is None or not kept:
        raise RefusedError(
            f"corpus {corpus.config.corpus} has no kept index to go back to; `pinery backfill` fills one with any model"
        )
    entry = kept[-1]
    refuse_unless_current(corpus, entry, "`pinery run`")
    return make_live(seen, corpus, entry, Change(now(), _own_name(corpus), entry.name, "rolled-back"))


def refuse_unless_current(corpus: Corpus, entry: IndexEntry, again: str) -> None:
    """Raise RefusedError where an index is not at the current listing; the command `again` brings it there.

    Raises IndexMismatchError where it is gone, or isn't this state's.
    """
    target = corpus.open_target(entry)
    found = ask(target.index.describe, f"index {entry.name}")
    if found is None or (found.state, found.model_key) != (corpus.state_id, entry.card.key):
        state = "is gone" if found is None else "belongs to another state or model"
        raise IndexMismatchError(f"index {entry.name} {state}; {again} brings it true first. Nothing was changed")

    def counted() -> PlanCounts:
        with planned_as_recorded(target, current_listing(corpus), target.ledger_of(found)) as con:
            return count_plan(con)

    counts = undisturbed(counted)
    work = {"embed": counts.to_embed, "upsert": counts.to_upsert, "delete": counts.to_delete}
    missing = ", ".join(f"{count:,} rows to {what}" for what, count in work.items() if count)
    if not missing and (rows := ask(target.index.count, f"index {entry.name}")) < counts.held:
        missing = f"it holds {rows:,} of {counts.held:,} rows"
    if missing:
        raise RefusedError(
            f"index {entry.name} is not at the current listing: {missing}. {again} brings it there first. Nothing was"
            " changed"
        )


def _candidate(corpus: Corpus, alias: Alias, index: str) -> IndexEntry:
    known = [*alias.candidates, *alias.kept]
    found = next((one for one in known if one.name == index), None)
    if found is not None:
        return found
    if any(one.name == index for one in alias.retired):
        raise RefusedError(
            f"index {index} is retired, so no run has kept it true; `pinery backfill` with its model brings it true"
        )
    names = ", ".join(one.name for one in known) or "none; `pinery backfill` makes one"
    raise ConfigError(f"corpus {corpus.config.corpus} has no candidate or kept index {index!r}; it has {names}")


def _not_passed(entry: IndexEntry) -> str:
    if not entry.gate:
        return (
            f"index {entry.name} was not judged yet: its backfill did not end. `pinery backfill` with the same model"
            " goes on with it; `force` promotes it without"
        )
    return (
        f"the gate's verdict on index {entry.name} is `{entry.gate}`; the report of its backfill says why. `force`"
        " promotes it all the same"
    )


def make_live(
    seen: SeenAlias, corpus: Corpus, entry: IndexEntry, change: Change, check: Callable[[], None] = lambda: None
) -> Promotion:
    """Make `entry` the live target and keep the former one; `change` goes into the history.

    Raises RefusedError where something else changed what is live meanwhile, or retired or removed `entry`.
    """
    former = seen.alias.live
    until = (datetime.now(UTC) + corpus.config.kept_for).isoformat(timespec="seconds")
    missed = f"index {entry.name} was not made live"

    def promoted(alias: Alias) -> Alias:
        # Whoever retires an index may remove it.
        known = alias.in_use()
        if not any(one.same_target(entry) for one in known):
            raise RefusedError(f"index {entry.name} was retired or removed meanwhile; nothing was changed")
        return alias.promoted(entry, until, change)

    seen.change(promoted, missed, check)
    return Promotion(
        corpus=corpus.config.corpus,
        what=change.what,
        live=entry.names(),
        former=None if former is None else former.names() | {"until": until},
        generation=seen.alias.generation,
        gate=change.gate,
    )


def _own_name(corpus: Corpus) -> str:
    return run_name(datetime.now(UTC), corpus.current_listing())
