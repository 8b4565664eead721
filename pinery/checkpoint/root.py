"""The state root: its id, its format, and where a corpus' files lie in it."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pinery.checkpoint.s3_store import S3Store
from pinery.checkpoint.store import ConflictError, LocalStore, Store
from pinery.config import Config, cache_root
from pinery.errors import ConfigError

FORMAT = 1


def open_store(config: Config) -> Store:
    """The store that the config's `state` names; nothing is created yet."""
    if config.is_s3_state:
        folder = hashlib.sha256(f"{config.state_s3.endpoint_url}|{config.state}".encode()).hexdigest()[:16]
        return S3Store(config.state, config.state_s3, cache_root() / folder)
    return LocalStore(Path(config.state))


def state_id(store: Store, create: bool = True) -> str | None:
    """The state root's id, made on first use; None where it doesn't exist and `create` is off.

    Raises ConfigError where the state was written by a later, incompatible version.
    """
    found = store.read("state.json")
    if found is None:
        if not create:
            return None
        fresh = json.dumps({"id": uuid.uuid4().hex, "format": FORMAT}).encode()
        try:
            store.replace("state.json", fresh, None)
        except ConflictError:
            return state_id(store)
        found = (fresh, "")
    data = json.loads(found[0])
    if data["format"] != FORMAT:
        raise ConfigError(f"{store.root} has state format {data['format']}; this version reads {FORMAT}: update Pinery")
    return str(data["id"])


@dataclass(frozen=True, slots=True)
class IndexPaths:
    """Names of what is recorded of one (index, namespace)."""

    folder: str

    @property
    def identity(self) -> str:
        return f"{self.folder}/identity.json"

    @property
    def ledger(self) -> str:
        return f"{self.folder}/ledger"

    @property
    def rejected(self) -> str:
        return f"{self.folder}/rejected"

    @property
    def doubts(self) -> str:
        return f"{self.folder}/doubts"

    @property
    def imports(self) -> str:
        return f"{self.folder}/imports"


@dataclass(frozen=True, slots=True)
class CorpusPaths:
    """Names of one corpus' files in a store."""

    corpus: str

    @property
    def listings(self) -> str:
        return f"{self.corpus}/listings"

    @property
    def runs(self) -> str:
        return f"{self.corpus}/runs"

    @property
    def alias(self) -> str:
        return f"{self.corpus}/alias.json"

    def listing(self, run: str) -> str:
        return f"{self.listings}/{run}.parquet"

    def report(self, run: str) -> str:
        return f"{self.runs}/{run}.json"

    @property
    def comparisons(self) -> str:
        return f"{self.corpus}/verify"

    def differences(self, run: str) -> str:
        return f"{self.comparisons}/{run}.parquet"

    def card(self, model_key: str) -> str:
        return f"{self.corpus}/{model_key}/card.json"

    def lease(self, model_key: str) -> str:
        return f"{self.corpus}/{model_key}/lease.json"

    def parts(self, model_key: str) -> str:
        return f"{self.corpus}/{model_key}/parts"

    def index(self, kind: str, name: str, namespace: str) -> IndexPaths:
        return IndexPaths(f"{self.corpus}/indexes/{kind}/{name}/{quote(namespace, safe='')}")
