"""The corpora that a server shows, each opened once for all visitors, and the server's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pinery.config import Config
from pinery.corpus.corpus import Corpus
from pinery.errors import ConfigError
from pinery.search.searcher import Searcher
from pinery.web.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the command line and the environment say about a server."""

    host: str = "127.0.0.1"
    port: int = 8765
    editable: bool = False
    token: str | None = field(default=None, repr=False)
    """What a visitor has to know, from PINERY_TOKEN; None lets everybody in who reaches the host."""
    run_command: Sequence[str] = ()
    """The command that runs a corpus, to which the path of its config is added; only an editable server needs it."""


class ShownCorpus:
    """One corpus that is shown: its searcher, its items and its pictures."""

    def __init__(self, config: Config, path: str) -> None:
        """Read nothing yet; `path` is the config's, as the command line has it."""
        self.config, self.path = config, path
        self.name = config.corpus
        self.catalogue = Catalogue(Corpus(config))
        self.searcher = Searcher(Corpus(config))

    def corpus(self) -> Corpus:
        """Return the corpus, opened anew: for one request, which reads what is true now."""
        return Corpus(self.config)


class Site:
    """All that a server shows."""

    def __init__(self, configs: Mapping[str, Config], settings: ServerSettings) -> None:
        """Take configs by their paths. Raises ConfigError where two have one corpus name, or there is none."""
        self.settings = settings
        self.corpora: dict[str, ShownCorpus] = {}
        for path, config in configs.items():
            if config.corpus in self.corpora:
                raise ConfigError(f"two of the configs are of a corpus {config.corpus!r}; serve one of them")
            self.corpora[config.corpus] = ShownCorpus(config, path)
        if not self.corpora:
            raise ConfigError("there is no config to serve")

    def shown(self, name: str | None) -> ShownCorpus | None:
        """Return the corpus of that name, the first one where no name is given; None where it isn't shown."""
        return next(iter(self.corpora.values())) if name is None else self.corpora.get(name)

    def close(self) -> None:
        """End the threads of all searchers."""
        for one in self.corpora.values():
            one.searcher.close()
