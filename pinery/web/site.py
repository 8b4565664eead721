"""The corpora that a server shows, each opened once for all visitors, and the server's settings."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cachetools import TTLCache, cachedmethod

from pinery.config import Config
from pinery.corpus.corpus import Corpus
from pinery.errors import ConfigError
from pinery.reports import Gate, RunReport, Status
from pinery.search.searcher import Searcher
from pinery.steps.status import status
from pinery.web import targets
from pinery.web.catalogue import FRESH_SECONDS, Catalogue
from pinery.web.compared import read_judged
from pinery.web.facets import Counting
from pinery.web.pictures import Pictures, Studio
from pinery.web.readiness import Readiness
from pinery.web.runs import Runs
from pinery.web.terms import QueryImages

FIRST_SCREEN_SECONDS = 1.0
"""The first screen goes before what is prepared, whose imports alone take some seconds of a core."""
TOLD_SECONDS = 5.0
"""The longest time for which status and reports are believed, whose reading takes a while."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of a server, from the command line and the environment."""

    host: str = "127.0.0.1"
    port: int = 8765
    editable: bool = False
    token: str | None = field(default=None, repr=False)
    """The secret that a visitor has to know, from PINERY_TOKEN; None lets everybody in who reaches the host."""
    page_hosts: Sequence[str] = ()
    """More names under which visitors may ask for the page, such as that of a reverse proxy."""
    run_command: Sequence[str] = ()
    """The command that runs a corpus, to which the path of its config is added; only an editable server needs it."""
    run_options: Sequence[str] = ()
    """The options that follow that path: the overrides of the configs."""


class Shared:
    """The means that all corpora of a server share, so that they are bounded for all of them together."""

    def __init__(self) -> None:
        self.studio, self.query_images, self.counting = Studio(), QueryImages(), Counting()


class ShownCorpus:
    """One corpus that is shown: its searcher, its items and its pictures."""

    def __init__(self, config: Config, path: str, settings: ServerSettings, shared: Shared | None = None) -> None:
        """Read nothing yet; `path` is the config's, as the command line has it."""
        shared = shared or Shared()
        self.config, self.path, self.editable = config, path, settings.editable
        self.runs = Runs(self, settings)
        self.name = config.corpus
        self.catalogue = Catalogue(Corpus(config))
        self.searcher = Searcher(Corpus(config))
        self.pictures = Pictures(Corpus(config), shared.studio)
        self.query_images, self.counting = shared.query_images, shared.counting
        self.readiness = Readiness(self)
        self._corpus = Corpus(config)
        self._targets: TTLCache[Any, list[dict[str, Any]]] = TTLCache(1, FRESH_SECONDS)
        self._told: TTLCache[Any, Any] = TTLCache(2, TOLD_SECONDS)
        self._reading, self._telling = threading.Condition(), threading.Condition()
        self.looking_up = threading.Lock()
        """Held by the one look-up of items by id that may scan the listing."""

    @cachedmethod(lambda self: self._targets, condition=lambda self: self._reading)
    def targets(self) -> list[dict[str, Any]]:
        """Return the indexes that can be searched; see `pinery.web.targets.read`."""
        return targets.read(self._corpus)

    @cachedmethod(lambda self: self._told, key=lambda _: "status", condition=lambda self: self._telling)
    def status(self) -> Status:
        """Return the status of the corpus, counted some seconds ago at most; it loads no model, reaches no index."""
        return status(self.corpus())

    @cachedmethod(lambda self: self._told, key=lambda _: "judged", condition=lambda self: self._telling)
    def judged(self) -> tuple[RunReport, Gate] | None:
        """Return the newest judgement of a gate and its report; see `pinery.web.compared.read_judged`."""
        return read_judged(self.corpus())

    def corpus(self) -> Corpus:
        """Return the corpus, opened anew: for one request, which reads what is true now."""
        return Corpus(self.config)


class Site:
    """All that a server shows."""

    def __init__(self, configs: Mapping[str, Config], settings: ServerSettings) -> None:
        """Take configs by their paths. Raises ConfigError where two have one corpus name, or there is none."""
        self.settings = settings
        self.shared = Shared()
        self.corpora: dict[str, ShownCorpus] = {}
        for path, config in configs.items():
            if config.corpus in self.corpora:
                raise ConfigError(f"two of the configs are of a corpus {config.corpus!r}; serve one of them")
            self.corpora[config.corpus] = ShownCorpus(config, path, settings, self.shared)
        if not self.corpora:
            raise ConfigError("there is no config to serve")

    def shown(self, name: str | None) -> ShownCorpus | None:
        """Return the corpus of that name, the first one where no name is given; None where it isn't shown."""
        return next(iter(self.corpora.values())) if name is None else self.corpora.get(name)

    def prepare(self) -> None:
        """Begin to open the indexes and to load the models that visitors will soon need; it waits for none of them."""
        for one in self.corpora.values():
            one.readiness.prepare(FIRST_SCREEN_SECONDS)

    def close(self) -> None:
        """End the runs, and the threads of all searchers and those that make pictures."""
        for one in self.corpora.values():
            one.runs.close()
        self.shared.studio.close()
        self.shared.counting.close()
        for one in self.corpora.values():
            one.searcher.close()
