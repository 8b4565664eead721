"""Remove what no target of a corpus needs any more; nothing of it costs a row, or an embedding again."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.checkpoint.parts import Checkpoint
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.corpus.progress import Progress
from pinery.corpus.run import HeldTarget
from pinery.corpus.served import Served
from pinery.corpus.stored import undisturbed
from pinery.reports import Pruning, Removable
from pinery.steps.compact_parts import compact_parts
from pinery.steps.compact_rejected import compact_rejected
from pinery.steps.drop_retired import drop_retired
from pinery.steps.find_removable import Found, find_removable
from pinery.steps.leftovers import remove_leftover


def prune(corpus: Corpus, *, really: bool, wait: bool = False, progress: Progress) -> Pruning:
    """Return what of a corpus can be removed, and remove it if `really`; else nothing is changed, and no lease taken.

    Raises LeaseHeldError while a run holds the lease of a checkpoint that would be changed (unless `wait`): then
    nothing was removed. A prune that is interrupted anywhere leaves what the next one goes on with.
    """
    found = undisturbed(lambda: find_removable(corpus))
    for one in found.retired:
        if one.left:
            progress.note(f"index {one.entry.place} is left alone: {one.left}")
    removed: list[Removable] = []
    if really and found.items:
        with _holding(corpus, found, wait, progress) as held:
            removed += [item for _, item in found.staged]  # cleared as the leases were taken
            Remover(corpus, held, removed).remove(find_removable(corpus, {one.target.card.key for one in held}))
    return Pruning(corpus.config.corpus, found.items, tuple(removed))


@contextlib.contextmanager
def _holding(corpus: Corpus, found: Found, wait: bool, progress: Progress) -> Iterator[list[HeldTarget]]:
    """Hold the leases of all checkpoints that are changed, and yield a held target for each of the entries."""
    by_key: dict[str, list[IndexEntry]] = {}
    for entry in found.entries():
        of_model = by_key.setdefault(entry.card.key, [])
        if not any(entry.same_target(one) for one in of_model):
            of_model.append(entry)
    with contextlib.ExitStack() as leases:
        held: list[HeldTarget] = []
        for first, *others in by_key.values():
            # Targets of one model share a lease, so that none of the others is left out.
            choose = _always(Served(first, tuple(others)))
            held += leases.enter_context(open_run(corpus, choose, kept=True, wait=wait, progress=progress)).targets
        yield held


def _always(targets: Served) -> Callable[[Alias], Served]:
    return lambda _: targets


class Remover:
    """Removes what was found under leases that are held, each thing after a check of them."""

    def __init__(self, corpus: Corpus, held: Sequence[HeldTarget], removed: list[Removable]) -> None:
        """Take the targets whose leases are held; what is gone is added to `removed`."""
        self._corpus, self._held, self._removed = corpus, held, removed

    def remove(self, found: Found) -> None:
        """Remove what was found, as far as its lease is held."""
        for entry, items in found.parts:
            if items and (held := self._of(entry)):
                self._note(items, compact_parts(held, self._moved_on))
        for entry, items in found.rejected:
            if items and (held := self._of(entry)):
                self._note(items, compact_rejected(held))
        for leftover in found.leftovers if found.main and self._of(found.main) else ():
            remove_leftover(self._corpus.store, leftover, self._check)
            self._removed.append(leftover.item)
        self._drop_retired(found)
        self._remove_unused(found)

    def _drop_retired(self, found: Found) -> None:
        for one in found.retired:
            held = None if one.left else self._of(one.entry)
            if held is None:
                continue
            self._check()
            if left := drop_retired(held):
                held.run.note(f"index {one.entry.place} is left alone: {left}")
            else:
                self._removed.append(one.item)

    def _remove_unused(self, found: Found) -> None:
        store, paths = self._corpus.store, self._corpus.paths
        for one in found.unused:
            key = one.entry.card.key
            # One of a retired index that was left alone goes with that.
            used = {entry.card.key for entry in self._corpus.alias()[0].entries()}
            if key not in used and self._of(one.entry):
                remove_leftover(store, one.leftover, self._check)
                Checkpoint(store, paths.parts(key)).forget_copies()
                self._removed.append(one.leftover.item)

    def _of(self, entry: IndexEntry) -> HeldTarget | None:
        """Return the held target of an entry; None where its lease wasn't known to be needed."""
        return next((one for one in self._held if one.target.entry.same_target(entry)), None)

    def _note(self, items: Sequence[Removable], gone: Sequence[str]) -> None:
        self._removed += [item for item in items if item.name in gone]

    def _check(self) -> None:
        self._moved_on()
        for one in self._held:
            one.check()

    def _moved_on(self) -> None:
        """Tell all runs that the work goes on: each would give up after a while in which it hears nothing."""
        for run in {id(one.run): one.run for one in self._held}.values():
            run.advance("prune", 0)
