"""Remove retired indexes: rows, index, and what the state has of them; the alias forgets one when nothing is left.

So one that was half removed is still named as retired, and the next prune goes on with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.checkpoint.imports import ImportRecords
from pinery.checkpoint.root import ENTRY, MANIFEST, OF_RUN, IndexPaths, folder_name, only
from pinery.checkpoint.store import Store
from pinery.corpus.corpus import Corpus
from pinery.corpus.live import now
from pinery.corpus.outage import retry_through_outage
from pinery.corpus.run import HeldTarget
from pinery.corpus.target import Target
from pinery.errors import ConfigError, RefusedError
from pinery.indexes.engine import ask
from pinery.planning.cost import FLOAT_BYTES
from pinery.reports import Removable
from pinery.steps.bulk_import import resume_import
from pinery.steps.find_index import find_index, owner_of, refuse_foreign, release_namespace
from pinery.steps.leftovers import export_files
from pinery.steps.marks import why_behind


@dataclass(frozen=True, slots=True)
class Retired:
    """A retired index that can be removed, or the reason why it is left alone."""

    entry: IndexEntry
    item: Removable
    left: str = ""


def find_retired(corpus: Corpus, alias: Alias) -> list[Retired]:
    """Return the retired indexes of an alias, oldest first. Raises TransientError where one can't be reached."""
    return [_look(corpus, corpus.open_target(entry)) for entry in alias.retired if not _in_use(alias, entry)]


def _look(corpus: Corpus, target: Target) -> Retired:
    entry = target.entry
    owner = owner_of(target)
    since = f"retired since {entry.until}"
    if owner not in (None, corpus.config.corpus):
        why = f"{since}; its rows are gone and the namespace is corpus {owner}'s, so it is only forgotten"
        return Retired(entry, Removable("index", entry.place, 0, why))
    try:
        rows = _own_rows(corpus, target)
    except (ConfigError, RefusedError) as error:
        return Retired(entry, Removable("index", entry.place, 0, since), str(error))
    vectors = rows * FLOAT_BYTES * target.card.dimension
    why = f"{since}, with {rows:,} rows of {target.card.name}"
    return Retired(entry, Removable("index", entry.place, vectors, why))


def _own_rows(corpus: Corpus, target: Target) -> int:
    """Return how many rows this state has in the index. Raises ConfigError, RefusedError where it isn't its own."""
    what = f"index {target.name}"
    found = ask(target.index.describe, what)
    refuse_foreign(corpus, target, found)
    if found is None:
        return 0
    if behind := why_behind(target, ask(target.index.read_mark, what)):
        raise RefusedError(behind)
    return ask(target.index.count, what)


def drop_retired(held: HeldTarget) -> str:
    """Remove a retired index and all that the state has of it; return why it was left alone, or an empty text."""
    target, run = held.target, held.run
    # One whose time is over is called retired first, so that nobody can promote it any more.
    missed = f"index {target.entry.place} is not called retired"
    run.seen.change(lambda alias: alias.expired(now()), missed, held.check)
    alias = run.seen.alias
    if _in_use(alias, target.entry) or not any(one.same_target(target.entry) for one in alias.retired):
        return "it is not retired any more"
    if owner_of(target) in (None, target.corpus):
        try:
            find_index(held)
        except (ConfigError, RefusedError) as error:
            return str(error)
        if held.identity is not None:
            _empty(held)
        for name in _recorded_files(target):
            held.check()
            target.store.delete(name)
        held.check()
        release_namespace(target)
    missed = f"index {target.entry.place} is removed, and still called retired"
    run.seen.change(lambda alias: alias.without(target.entry, now(), run.name), missed, held.check)
    return ""


def _in_use(alias: Alias, entry: IndexEntry) -> bool:
    """Return whether the place of an entry is that of the live index, of a kept one or of a candidate."""
    users = alias.in_use()
    return any(one.same_place(entry) for one in users)


def _empty(held: HeldTarget) -> None:
    """Delete the rows of the namespace; and the index, if nobody else uses it."""
    target, index = held.target, held.index
    resume_import(held)  # its rows would come after the namespace was deleted
    # An index without mark and record is anybody's to fill anew, so a prune that ends here does no harm.
    retry_through_outage(held, partial(index.leave_mark, ""))
    held.check()
    target.store.delete(target.recorded_at.identity)
    retry_through_outage(held, index.drop)
    if not _others_use(target.store, target.entry):
        retry_through_outage(held, index.discard)


def _others_use(store: Store, entry: IndexEntry) -> bool:
    """Return whether a namespace of the index, but for the entry's own, belongs to a corpus of this state."""
    own = f"{folder_name(entry.namespace)}.json"
    return any(name != own for name in store.names(f"owners/{entry.kind}/{entry.name}"))


def _recorded_files(target: Target) -> Iterator[str]:
    """Yield the names of all files that the state has of an index."""
    store, paths = target.store, target.recorded_at
    for record in ImportRecords(store, paths).all():
        yield from export_files(target, record)
    yield paths.identity
    yield from _named(store, paths)


def _named(store: Store, paths: IndexPaths) -> Iterator[str]:
    kinds = {paths.ledger: ENTRY, paths.rejected: ENTRY, paths.doubts: MANIFEST, paths.imports: OF_RUN}
    for folder, kind in kinds.items():
        yield from (f"{folder}/{name}" for name in only(kind, store.names(folder)))
