"""The places and the names of a corpus' files in a state."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pinery.checkpoint.state_file import state_id as state_id
from pinery.checkpoint.store import LocalStore, Store
from pinery.config import Config, cache_root

PART = re.compile(r"part-[0-9]{8,}\.parquet")
ENTRY = re.compile(r"(snapshot-)?[0-9]{8,}-[0-9]{8,}\.parquet")
OF_RUN = re.compile(r"[0-9]{8}T[0-9]{12}Z-[0-9a-f]{6}\.(parquet|json)")
MANIFEST = re.compile(r"[0-9]{8,}\.parquet")
"""The names of the files in each kind of folder. Sync clients, file managers and backups leave others there."""

LONGEST = 216
"""The most bytes of a file's name: file systems take 255, with `.json` and the ending of a temporary file."""


def only(kind: re.Pattern[str], names: Iterable[str]) -> list[str]:
    """Return those of `names` that Pinery gives to files of this kind, sorted."""
    return sorted(name for name in names if kind.fullmatch(name))


def folder_name(name: str) -> str:
    """Return the folder for a name that a user chose: no two names share one, and none leads out of its place."""
    quoted = quote(name, safe="")
    if quoted in (".", ".."):
        return quoted.replace(".", "%2E")  # which quoting never makes of a dot
    if len(quoted) <= LONGEST:
        return quoted
    return f"{quoted[:100]}@{hashlib.sha256(name.encode()).hexdigest()}"  # quoting leaves no @


def open_store(config: Config) -> Store:
    """Return the store that the config's `state` names; nothing is created yet."""
    if config.is_s3_state:
        from pinery.checkpoint.s3_store import S3Store  # brings boto3, which a state in a folder needn't wait for

        return S3Store(config.state, config.state_s3, cache_root().absolute(), config.cache_bytes)
    return LocalStore(Path(config.state))


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

    def scores(self, model_key: str, metric: str) -> str:
        return f"{self.corpus}/{model_key}/scores-{metric}.json"

    def staging(self, model_key: str) -> str:
        return f"{self.corpus}/{model_key}/staging"

    def index(self, kind: str, name: str, namespace: str) -> IndexPaths:
        return IndexPaths(f"{self.corpus}/indexes/{kind}/{name}/{folder_name(namespace)}")


def keep_newest(store: Store, folder: str, count: int) -> None:
    """Remove all but the newest files of runs in a folder of the state."""
    for name in only(OF_RUN, store.names(folder))[:-count]:
        store.delete(f"{folder}/{name}")
