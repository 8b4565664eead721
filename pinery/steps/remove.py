"""Remove a corpus from its index: the namespace goes, the index stays, and so does the checkpoint."""

from functools import partial

from pinery.corpus.corpus import Corpus
from pinery.corpus.live import now
from pinery.corpus.open_run import open_run
from pinery.corpus.outage import retry_through_outage
from pinery.corpus.progress import Progress
from pinery.corpus.run import HeldTarget
from pinery.corpus.served import Served
from pinery.reports import Removal
from pinery.steps.bulk_import import resume_import
from pinery.steps.find_index import find_index, release_namespace


def remove(corpus: Corpus, *, really: bool, progress: Progress) -> Removal:
    """Delete the corpus' namespace from the config's index, or only count its rows unless `really`.

    Listings, parts and reports stay, so that a later run fills the namespace again without embedding anything. Raises
    IndexMismatchError where the index or the namespace isn't this corpus' own.
    """
    with open_run(corpus, lambda _: Served(corpus.named), progress=progress) as run:
        held = run.main
        find_index(held, behind=not really)
        exists = held.identity is not None
        if really and exists:
            resume_import(held)  # its rows would come after the namespace was deleted
        rows = retry_through_outage(held, held.index.count) if exists else 0
        if really:
            held.check()
            if exists:
                retry_through_outage(held, held.index.drop)
                retry_through_outage(held, partial(held.index.leave_mark, ""))
            _forget(held)
        entry = held.target.entry
    return Removal(corpus.config.corpus, entry.kind, entry.name, entry.namespace, rows, really)


def _forget(held: HeldTarget) -> None:
    run, target = held.run, held.target
    run.seen.change(
        lambda alias: alias.without(target.entry, now(), run.name),
        f"the rows of index {target.entry.place} are deleted, and it is still called live",
        held.check,
    )
    held.check()
    # Without it the ledger is void, whatever its entries say.
    target.store.delete(target.recorded_at.identity)
    release_namespace(target)
