"""List the corpus: every item at one moment, into a local Parquet file; and publish it once its plans passed."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pinery.checkpoint.listings import write_listing
from pinery.corpus.run import Run
from pinery.corpus.stored import current_listing
from pinery.embedding.places import refuse_missing
from pinery.errors import EmptyListingError
from pinery.sources.selection import left_out_line


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing (LISTING_SCHEMA, in the source's order), and remarks on it."""

    path: Path
    """A local file."""
    name: str | None = None
    """Its name in the state, once it is published."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """The number of files that the listing left out, by kind."""
    remarks: tuple[str, ...] = ()


def list_items(run: Run) -> Listing:
    """Write the listing of the source into the run's scratch folder.

    Raises EmptyListingError, what the source raises, and ConfigError where what the runner needs is not installed.
    """

    def progress(items: int) -> None:
        run.main.check()
        run.advance("list", items)

    refuse_missing(run.corpus.config)
    path, source = run.main.scratch / "listing.parquet", run.corpus.source
    with run.stage("list"):
        source.check()
        rows = write_listing(source.list_batches(), path, progress)
    left_out = left_out_line(source.left_out)
    if rows == 0:
        raise EmptyListingError(run.corpus.config.corpus, left_out)
    listing = Listing(path, left_out=dict(source.left_out), remarks=tuple(source.remarks()))
    for line in filter(None, (left_out, *listing.remarks)):
        run.note(line)
    return listing


def copy_current_listing(run: Run) -> Listing:
    """Return a copy of the current listing, with its name in the state. Raises ConfigError, DamagedError."""
    name = run.corpus.current_listing()
    return Listing(shutil.copyfile(current_listing(run.corpus), run.main.scratch / "listing.parquet"), name)


def publish_listing(run: Run, listing: Listing) -> Listing:
    """Make the listing the current one; only once the plan of every target passed the guards."""
    run.main.check()
    name = run.corpus.paths.listing(run.name)
    run.corpus.store.publish(name, listing.path)
    return replace(listing, name=name, path=run.corpus.store.local(name))
