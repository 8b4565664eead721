"""The place in a state where workers elsewhere leave finished parts, which the run then publishes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

from pinery.checkpoint.root import CorpusPaths, open_store
from pinery.checkpoint.state_file import state_id
from pinery.checkpoint.store import Store
from pinery.config import Config
from pinery.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Staging:
    """The door to the state that a worker elsewhere has: it may leave files there, and nothing else. Can be pickled."""

    config: Config
    folder: str
    state: str
    """The state's id."""

    def check(self) -> None:
        """Raise ConfigError where this machine doesn't see the run's state, AccessDeniedError, TransientError."""
        found = state_id(open_store(self.config), create=False)
        if found != self.state:
            what = "there is none" if found is None else "another one is there"
            raise ConfigError(
                f"the run's state {self.config.state} can't be seen from {gethostname()}: {what}. Set `state` to S3, or"
                " to a folder that all nodes have at the same path"
            )

    def put(self, name: str, path: Path) -> None:
        """Move a finished local file to the place, under a name that no other file ever has there."""
        open_store(self.config).publish(f"{self.folder}/{name}", path)


def open_staging(config: Config, store: Store, model_key: str) -> Staging:
    """Return the place for the parts of a corpus and a model; the state gets its id if it has none."""
    state = state_id(store)
    assert state is not None
    return Staging(config, CorpusPaths(config.corpus).staging(model_key), state)
