"""Records of bulk imports: each is written before its import starts, so that no later run starts it twice."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pinery.checkpoint.root import MANIFEST, OF_RUN, IndexPaths, only
from pinery.checkpoint.store import Store
from pinery.checkpoint.whole import whole
from pinery.parquet.damage import parsing

State = Literal["exporting", "ready", "entered", "done", "failed"]


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """One import into one namespace."""

    name: str
    uri: str
    """The folder of the export on S3."""
    incarnation: str
    """The incarnation of the index that it goes into."""
    rows: int = 0
    id: str | None = None
    """Pinecone's id of the import; None until its start was acknowledged."""
    state: State = "exporting"
    error: str = ""


class ImportRecords:
    """The imports of one (index, namespace), in the order of their making."""

    def __init__(self, store: Store, paths: IndexPaths) -> None:
        self._store, self._folder = store, paths.imports

    def all(self) -> list[ImportRecord]:
        """Return all records, oldest first."""
        names = only(OF_RUN, self._store.names(self._folder))
        found = [self._read(f"{self._folder}/{name}") for name in names]
        return [one for one in found if one is not None]

    def write(self, record: ImportRecord) -> None:
        """Write a record, in the place of what it said before."""
        self._store.write(f"{self._folder}/{record.name}.json", json.dumps(asdict(record), indent=2).encode())

    def publish_manifest(self, record: ImportRecord, number: int, path: Path) -> None:
        """Publish a file of the rows (LEDGER_SCHEMA) that the export has."""
        self._store.publish(f"{self._manifest(record)}/{number:08d}.parquet", path)

    def manifest(self, record: ImportRecord) -> list[Path]:
        """Return local copies of those files. Raises DamagedError."""
        folder = self._manifest(record)
        return [whole(self._store, f"{folder}/{name}") for name in only(MANIFEST, self._store.names(folder))]

    def remove_files(self, record: ImportRecord, export: str) -> None:
        """Remove the files of the export, which lie in the folder `export`, and of its manifest."""
        for folder in (export, self._manifest(record)):
            for name in self._store.names(folder):
                self._store.delete(f"{folder}/{name}")

    def _read(self, name: str) -> ImportRecord | None:
        found = self._store.read(name)
        with parsing(f"{self._store.root}/{name}", "imports"):
            return ImportRecord(**json.loads(found[0])) if found else None

    def _manifest(self, record: ImportRecord) -> str:
        return f"{self._folder}/{record.name}"
