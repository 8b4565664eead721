"""What the state has of a corpus, read without a lease: the current listing and the last reports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pinery.checkpoint.damage import parsing
from pinery.checkpoint.parquet import whole
from pinery.checkpoint.root import OF_RUN, only
from pinery.errors import ConfigError, DamagedError, TerminalError
from pinery.steps.corpus import Corpus

Result = TypeVar("Result")

ATTEMPTS = 5


def undisturbed(read: Callable[[], Result]) -> Result:
    """Read the state without a lease; again where a run that is under way replaced files meanwhile.

    Raises TerminalError where reading fails each time.
    """
    return Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        reraise=True,
    )(read)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, TerminalError) and not isinstance(error, DamagedError)


def current_listing(corpus: Corpus) -> Path:
    """A local copy of the newest listing whose plan passed the guards.

    Raises ConfigError before the first run, DamagedError where the listing isn't what was written.
    """
    name = corpus.current_listing()
    if name is None:
        raise ConfigError(
            f"corpus {corpus.config.corpus} has no listing in {corpus.store.root} yet; `pinery run` makes the first one"
        )
    return whole(corpus.store, name)


def copy_current_listing(corpus: Corpus, folder: Path) -> Path:
    """A copy of the current listing in `folder`, for a plan that publishes it anew; raises as `current_listing`."""
    return shutil.copyfile(current_listing(corpus), folder / "listing.parquet")


def last_report(corpus: Corpus) -> dict[str, Any] | None:
    """The newest run's report, finished or not; None before the first run."""
    names = only(OF_RUN, corpus.store.names(corpus.paths.runs))
    if not names:
        return None
    name = f"{corpus.paths.runs}/{names[-1]}"
    found = corpus.store.read(name)
    with parsing(f"{corpus.store.root}/{name}", "runs"):
        return dict(json.loads(found[0])) if found else None
