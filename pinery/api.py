"""A corpus as Python programs use it: search, embeddings, plan, status and the last report behind one door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinery.config import Config
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus

if TYPE_CHECKING:
    from pinery.reports import Preview, RunReport, Status
    from pinery.search.embeddings import Embeddings
    from pinery.search.searcher import Searcher


class OpenCorpus:
    """One corpus of a config. Nothing is read or loaded before it is asked for, and nothing here writes to an index."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def searcher(self, *, patience: float = 15.0, wait_for_strengths: bool = False) -> Searcher:
        """Return a searcher, to be opened once and shared by all threads; see `pinery.search.searcher.Searcher`.

        An index that is away is asked again for `patience` seconds before a query fails.
        """
        from pinery.search.searcher import Searcher

        return Searcher(Corpus(self.config), patience=patience, wait_for_strengths=wait_for_strengths)

    def embeddings(self) -> Embeddings:
        """Return the live vectors, to be read as Arrow, NumPy or pandas; see `pinery.search.embeddings.Embeddings`."""
        from pinery.search.embeddings import Embeddings

        return Embeddings(Corpus(self.config))

    def plan(self, limit: int | None = None) -> Preview:
        """Return what a run would do, as `pinery plan` does: it lists the source, loads no model, changes nothing."""
        from pinery.steps.preview import preview

        return preview(Corpus(self.config), limit)

    def status(self) -> Status:
        """Return the state of the corpus, as `pinery status` does: it loads no model and reaches no index."""
        from pinery.steps.status import status

        return status(Corpus(self.config))

    def report(self) -> RunReport | None:
        """Return the report of the last run, finished or not; None before the first. Raises DamagedError."""
        from pinery.steps.history import last_run

        return last_run(self.config)


def open_corpus(config: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> OpenCorpus:
    """Return the corpus of a config: the path of its YAML file, or a mapping with the same keys.

    `overrides` are `dotted.key=value`, as after `--set`. Secrets come from the environment alone. Raises ConfigError.
    """
    return OpenCorpus(load_config(config, overrides))
