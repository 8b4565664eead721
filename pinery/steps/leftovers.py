"""Files of a state that nothing reads any more: old listings and reports, and what interrupted work left behind."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pinery.checkpoint.imports import ImportRecord, ImportRecords
from pinery.checkpoint.lease import read_holder
from pinery.checkpoint.root import MANIFEST, OF_RUN, only
from pinery.checkpoint.store import Store
from pinery.corpus.corpus import Corpus
from pinery.corpus.target import Target
from pinery.reports import Removable
from pinery.steps.close_run import KEPT_LISTINGS, KEPT_REPORTS
from pinery.steps.compare import KEPT_COMPARISONS

OVER = ("done", "failed")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that can go, and the names of its files in the order in which they go."""

    item: Removable
    files: tuple[str, ...]


def find_leftovers(corpus: Corpus, targets: Iterable[Target]) -> list[Leftover]:
    """Return what is left over of the corpus' runs, and of these targets' indexes."""
    paths = corpus.paths
    kinds = (
        ("listing", paths.listings, KEPT_LISTINGS),
        ("report", paths.runs, KEPT_REPORTS),
        ("differences", paths.comparisons, KEPT_COMPARISONS),
    )
    found = [one for what, folder, kept in kinds for one in _old(corpus.store, what, folder, kept)]
    for target in targets:
        found += _stale_entries(target)
        found += _exports(target)
    return found


def find_staged(corpus: Corpus, model_keys: Iterable[str]) -> dict[str, Removable]:
    """Return what workers left staged of runs that are over, by model key. Whoever takes the lease clears it."""
    found = {}
    for key in model_keys:
        folder = corpus.paths.staging(key)
        sizes = corpus.store.sizes(folder)
        if sizes and read_holder(corpus.store, corpus.paths.lease(key)) is None:
            why = f"{len(sizes):,} parts were made for a run that is over, and never published"
            found[key] = Removable("staging", folder, sum(sizes.values()), why)
    return found


def remove_leftover(store: Store, leftover: Leftover, check: Callable[[], None]) -> None:
    """Remove the files of a leftover, each after a `check`."""
    for name in leftover.files:
        check()
        store.delete(name)


def _old(store: Store, what: str, folder: str, kept: int) -> Iterator[Leftover]:
    sizes = store.sizes(folder)
    for name in only(OF_RUN, sizes)[:-kept]:
        file = f"{folder}/{name}"
        yield Leftover(Removable(what, file, sizes[name], f"older than the newest {kept}"), (file,))


def _stale_entries(target: Target) -> Iterator[Leftover]:
    ledger = target.recorded_ledger()
    files = ledger.stale() if ledger else []
    if files:
        recorded = target.recorded_at
        sizes = {
            f"{folder}/{name}": size
            for folder in (recorded.ledger, recorded.rejected)
            for name, size in target.store.sizes(folder).items()
        }
        why = f"{len(files):,} files are of an index that is gone, or a snapshot took their place"
        yield Leftover(Removable("ledger", recorded.ledger, sum(sizes.get(name, 0) for name in files), why), (*files,))


def _exports(target: Target) -> Iterator[Leftover]:
    for record in ImportRecords(target.store, target.recorded_at).all():
        if record.state in OVER:
            files = export_files(target, record)
            if files:
                why = f"the import that it was made for is over ({record.state})"
                yield Leftover(Removable("export", f"exports/{record.name}", sum(files.values()), why), (*files,))


def export_files(target: Target, record: ImportRecord) -> dict[str, int]:
    """Return the files of an import's export and of its manifest by their names in the state, with their bytes."""
    export, manifest = f"exports/{record.name}/{target.entry.namespace}", f"{target.recorded_at.imports}/{record.name}"
    sizes = target.store.sizes(export)
    found = {f"{export}/{name}": size for name, size in sizes.items() if name.endswith(".parquet")}
    sizes = target.store.sizes(manifest)
    return found | {f"{manifest}/{name}": sizes[name] for name in only(MANIFEST, sizes)}
