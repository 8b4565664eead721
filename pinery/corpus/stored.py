"""The state of a corpus, read without a lease: its current listing and its last report."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import duckdb
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.root import OF_RUN, only
from pinery.checkpoint.whole import whole
from pinery.corpus.corpus import Corpus
from pinery.corpus.tables import planned
from pinery.corpus.target import Target
from pinery.errors import ConfigError, DamagedError, LeaseLostError, StoppedError, TerminalError
from pinery.parquet.damage import parsing
from pinery.reports import RunReport

Result = TypeVar("Result")

ATTEMPTS = 5


def undisturbed(read: Callable[[], Result]) -> Result:
    """Return what `read` reads of the state without a lease; repeat it where a run replaced files meanwhile.

    Raises TerminalError where reading fails each time.
    """
    return Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        reraise=True,
    )(read)


def _may_pass(error: BaseException) -> bool:
    # What stops the reader itself is not something that a run did to the files.
    return isinstance(error, TerminalError) and not isinstance(error, DamagedError | StoppedError | LeaseLostError)


@contextlib.contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Yield a folder for files in the making, outside of the state; it is removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"pinery-{purpose}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def planned_as_recorded(target: Target, listing: Path, ledger: Ledger | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield the tables of the plan that brings an index to `listing`, for a reader without a lease; see `planned`."""
    with temporary_folder("plan") as scratch, planned(scratch, listing, target.checkpoint, ledger) as con:
        yield con


def current_listing(corpus: Corpus) -> Path:
    """Return a local copy of the newest listing whose plan passed the guards.

    Raises ConfigError before the first run, DamagedError where the listing isn't what was written.
    """
    name = corpus.current_listing()
    if name is None:
        raise ConfigError(
            f"corpus {corpus.config.corpus} has no listing in {corpus.store.root} yet; `pinery run` makes the first one"
        )
    return whole(corpus.store, name)


def last_report(corpus: Corpus) -> RunReport | None:
    """Return the newest run's report, finished or not; None before the first run. Raises DamagedError."""
    names = only(OF_RUN, corpus.store.names(corpus.paths.runs))
    if not names:
        return None
    name = f"{corpus.paths.runs}/{names[-1]}"
    found = corpus.store.read(name)
    with parsing(f"{corpus.store.root}/{name}", "runs"):
        return RunReport.from_dict(json.loads(found[0])) if found else None
