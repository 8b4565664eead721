"""What the state has of a corpus, read without a lease: the current listing and the last reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pinery.errors import ConfigError
from pinery.steps.corpus import Corpus


def current_listing(corpus: Corpus) -> Path:
    """A local copy of the newest listing whose plan passed the guards. Raises ConfigError before the first run."""
    name = corpus.current_listing()
    if name is None:
        raise ConfigError(
            f"corpus {corpus.config.corpus} has no listing in {corpus.store.root} yet; `pinery run` makes the first one"
        )
    return corpus.store.local(name)


def last_report(corpus: Corpus) -> dict[str, Any] | None:
    """The newest run's report, finished or not; None before the first run."""
    names = corpus.store.names(corpus.paths.runs)
    found = corpus.store.read(f"{corpus.paths.runs}/{names[-1]}") if names else None
    return dict(json.loads(found[0])) if found else None
