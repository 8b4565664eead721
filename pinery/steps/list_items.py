"""List the corpus: every item at one moment, into a local Parquet file."""

from __future__ import annotations

from pathlib import Path

from pinery.checkpoint.listings import write_listing
from pinery.errors import EmptyListingError
from pinery.sources.selection import told
from pinery.steps.run import Run


def list_items(run: Run) -> Path:
    """Write the listing (LISTING_SCHEMA, in the source's order) into the run's scratch folder.

    Raises EmptyListingError, and what the source raises.
    """

    def progress(items: int) -> None:
        run.check()
        run.advance("list", items)

    path = run.scratch / "listing.parquet"
    with run.stage("list"):
        run.corpus.source.check()
        rows = write_listing(run.corpus.source.list_items(), path, progress)
    source = run.corpus.source
    run.left_out, run.remarks = dict(source.left_out), source.remarks()
    left_out = told(run.left_out)
    if rows == 0:
        raise EmptyListingError(run.corpus.config.corpus, left_out)
    for line in filter(None, (left_out, *run.remarks)):
        run.note(line)
    return path
