"""Pinecone's bulk imports: Parquet files under an S3 prefix become the rows of a new namespace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pinery.errors import TerminalError
from pinery.indexes.pinecone_session import PineconeSession

if TYPE_CHECKING:
    import pinecone
    from pinecone.models.imports.model import ImportModel


@dataclass(frozen=True, slots=True)
class ImportState:
    """The progress of an import; `percent` is 0 to 100. `Completed`, `Failed`, `Cancelled` and `Unknown` are final."""

    id: str
    status: str
    percent: float
    error: str

    @property
    def is_over(self) -> bool:
        """True where the status is final."""
        return self.status in ("Completed", "Failed", "Cancelled", "Unknown")


class PineconeImports:
    """The bulk imports of one index; its methods raise what those of Index raise."""

    def __init__(self, session: PineconeSession, namespace: str, integration_id: str | None) -> None:
        self._session, self._namespace, self._integration_id = session, namespace, integration_id

    def possible(self) -> bool:
        """Return whether an import is possible: it needs a namespace that doesn't exist yet."""
        return self._session.data(lambda index: index.describe_namespace(name=self._namespace)) is None

    def start(self, uri: str) -> str:
        """Start to import the files under `uri`, skipping records that can't be read; return the import's id."""
        answer = self._session.data(
            lambda index: index.start_import(uri=uri, error_mode="continue", integration_id=self._integration_id)
        )
        if answer is None:
            raise TerminalError(f"Pinecone started no import of {uri}")
        return answer.id

    def find(self, uri: str) -> ImportState | None:
        """Return the import of `uri`, if one was ever started."""
        found = self._session.data(
            lambda index: next((one for one in index.list_imports() if one.uri.rstrip("/") == uri.rstrip("/")), None)
        )
        return None if found is None else _state(found)

    def state(self, id: str) -> ImportState:
        """Return the state of the import `id`; its status is `Unknown` where Pinecone no longer knows it."""
        found = self._session.data(lambda index: _described(index, id))
        return ImportState(id, "Unknown", 0.0, "Pinecone knows no such import") if found is None else _state(found)


def _described(index: pinecone.Index, id: str) -> ImportModel | None:
    import pinecone

    try:
        return index.describe_import(id)
    except pinecone.NotFoundError:
        return None


def _state(found: ImportModel) -> ImportState:
    return ImportState(found.id, found.status, found.percent_complete or 0.0, found.error or "")
