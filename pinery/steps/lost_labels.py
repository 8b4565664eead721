"""The relabel guard: it refuses a plan that would take metadata off many rows of the index."""

import duckdb

from pinery.corpus.corpus import Corpus
from pinery.duckdb_files import scan
from pinery.planning.guards import judge_relabels, relabels_allowed
from pinery.planning.labels import count_losing, find_relabelled, note_names


def judge_labels(con: duckdb.DuckDBPyConnection, held: int, corpus: Corpus) -> list[str]:
    """Return why the plan in `con` takes metadata off too many of the `held` rows; empty where it doesn't."""
    guard = corpus.config.run.relabel_guard
    if find_relabelled(con) <= relabels_allowed(held, guard):
        return []  # no need to look at any earlier listing
    _note_names(con, corpus)
    losing, names = count_losing(con)
    return judge_relabels(losing, names, held, guard)


def _note_names(con: duckdb.DuckDBPyConnection, corpus: Corpus) -> None:
    """Find the names of what the index has in the listings that it was sent from, the newest first."""
    folder = corpus.paths.listings
    names = corpus.store.names(folder)[::-1]
    # Where no listing kept has what the index was sent, the newest tells what it should have had.
    for name, exact in [*((name, True) for name in names), *((name, False) for name in names[:1])]:
        scan(con, corpus.store.local(f"{folder}/{name}")).create_view("earlier", replace=True)
        if note_names(con, "earlier", exact):
            return
