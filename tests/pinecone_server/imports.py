"""Bulk imports of one index: started, described, listed, cancelled; each runs on a thread of its own."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from tests.pinecone_server import import_rows, limits
from tests.pinecone_server.import_rows import File, ImportFailed, RowRefused, Seen
from tests.pinecone_server.limits import Record
from tests.pinecone_server.namespace import AT_ONCE
from tests.pinecone_server.settings import Settings
from tests.pinecone_server.shapes import NOT_FOUND, Answer, data_refusal
from tests.pinecone_server.spaces import DEFAULT, Spaces, page_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

Status = Literal["Pending", "InProgress", "Completed", "Failed", "Cancelled"]
RUNNING = ("Pending", "InProgress")


@dataclass
class Import:
    """One import, for a test to look at. `bytes_read` is what is billed: a failed import's bytes are, too."""

    number: int
    uri: str
    integration_id: str | None
    skips: bool
    """True where a refused row is skipped, instead of ending the import."""
    status: Status = "Pending"
    percent: float = 0.0
    imported: int = 0
    bytes_read: int = 0
    error: str | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished: datetime | None = None
    namespaces: set[str] = field(default_factory=set)
    held: str | None = None
    """The state that `hold_imports` keeps it in."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    def model(self) -> dict[str, Any]:
        """The import as the API describes it."""
        model: dict[str, Any] = {
            "id": str(self.number),
            "uri": self.uri,
            "status": self.status,
            "createdAt": self.created.isoformat(),
            "percentComplete": self.percent,
            "recordsImported": self.imported,
        }
        if self.finished is not None:
            model["finishedAt"] = self.finished.isoformat()
        return model if self.error is None else model | {"error": self.error}


class Holds:
    """The state in which imports stay until they are let go, if any; and what to wait for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._status: str | None = None

    def hold(self, status: str | None) -> None:
        """Let imports stay in `status` from now on, or with None in no state.

        Raises ValueError where it is another state than Pending or InProgress.
        """
        if status not in (*RUNNING, None):
            raise ValueError(f"an import can be held in {' or '.join(RUNNING)}, not in {status}")
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def stay(self, run: Import) -> None:
        """Return once `run` may leave its state, or is cancelled."""
        with self._changed:
            run.held = run.status if run.status == self._status else None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._status != run.status or run.cancelled.is_set())
            run.held = None

    def note_end(self) -> None:
        """Tell those who wait that an import has ended."""
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, run: Import, status: str, timeout: float) -> bool:
        """Wait until `run` is held in `status`, or has ended in it; False after `timeout` s."""
        with self._changed:
            return self._changed.wait_for(
                lambda: status in (run.held, run.status if run.status not in RUNNING else None), timeout
            )


class Imports:
    """All imports of one index, and the upserts that came in between."""

    def __init__(
        self, spaces: Spaces, dimension: int, metric: str, cloud: str, settings: Settings, holds: Holds
    ) -> None:
        self._spaces, self._dimension, self._metric, self._cloud = spaces, dimension, metric, cloud
        self._settings, self._holds = settings, holds
        self.runs: dict[str, Import] = {}
        """Every import by its id."""
        self.disturbed: list[tuple[str, tuple[str, ...]]] = []
        """Upserts into a namespace while an import into it ran: the namespace and the ids."""

    def start_import(self, body: dict[str, Any]) -> Answer:
        """POST /bulk/imports."""
        uri, integration = body.get("uri"), body.get("integrationId")
        given = body.get("errorMode", {})
        mode = given.get("onError", "abort") if isinstance(given, dict) else None
        if not isinstance(uri, str) or not uri.startswith("s3://") or not uri.removeprefix("s3://").strip("/"):
            raise data_refusal(f"Invalid import URI: expected s3://BUCKET/DIRECTORY, got {uri}")
        if mode not in ("abort", "continue"):
            raise data_refusal(f"errorMode.onError must be abort or continue, got {mode}")
        if self._cloud != "aws":
            raise data_refusal(f"An index on {self._cloud} can't import from Amazon S3")
        if self._settings.integration_id not in (None, integration):
            raise data_refusal(f"Storage integration {integration or ''} not found", 404, NOT_FOUND)
        if (endpoint := import_rows.s3_endpoint(self._settings)) is None:
            raise data_refusal("this local Pinecone imports from a local S3 only: start it with --s3-endpoint URL")
        with self._spaces.lock:
            run = Import(len(self.runs) + 1, uri, integration, mode == "continue")
            self.runs[str(run.number)] = run
        self._launch(run, import_rows.connect(endpoint))
        return Answer({"id": str(run.number)})

    def list_imports(self, limit: Any, token: str | None) -> Answer:
        """GET /bulk/imports."""
        size = limits.check_page(limit, limits.MAX_PAGE, limits.MAX_PAGE)
        with self._spaces.lock:
            names = [f"{run.number:09}" for run in self.runs.values()]
            page, after = page_of(names, size, token)
            return Answer({"data": [self.runs[name.lstrip("0")].model() for name in page]} | after)

    def describe_import(self, id: str) -> Answer:
        """GET /bulk/imports/{id}."""
        with self._spaces.lock:
            return Answer(self._run(id).model())

    def cancel_import(self, id: str) -> Answer:
        """DELETE /bulk/imports/{id}; an import that has ended stays as it is."""
        with self._spaces.lock:
            run = self._run(id)
            self._finish(run, "Cancelled")
        return Answer({})

    def note_upsert(self, namespace: str, ids: Sequence[str]) -> None:
        """Note an upsert that was taken, if an import into that namespace is running."""
        with self._spaces.lock:
            if any(run.status in RUNNING and namespace in run.namespaces for run in self.runs.values()):
                self.disturbed.append((namespace, tuple(ids)))

    def _run(self, id: str) -> Import:
        if id not in self.runs:
            raise data_refusal(f"Import {id} not found", 404, NOT_FOUND)
        return self.runs[id]

    def _launch(self, run: Import, s3: S3Client) -> None:
        files: list[File] | ImportFailed
        try:
            files = import_rows.list_files(s3, run.uri)
            run.namespaces = {file.namespace for file in files}
        except ImportFailed as failed:
            files = failed
        threading.Thread(target=self._carry_out, args=(run, s3, files), daemon=True, name="import").start()

    def _carry_out(self, run: Import, s3: S3Client, files: list[File] | ImportFailed) -> None:
        try:
            self._holds.stay(run)
            with self._spaces.lock:
                if run.status == "Pending":
                    run.status = "InProgress"
            if isinstance(files, ImportFailed):
                raise files
            self._check_absent(run)
            loaded = self._load(run, s3, files)
            self._holds.stay(run)
            self._commit(run, loaded)
        except ImportFailed as failed:
            self._finish(run, "Failed", str(failed))
        except Exception as error:  # noqa: BLE001 - a bug here must reach the client and stderr
            traceback.print_exc()
            self._finish(run, "Failed", f"Internal error: a bug in the local Pinecone: {error}")

    def _check_absent(self, run: Import) -> None:
        with self._spaces.lock:
            for name in sorted(run.namespaces):
                space = self._spaces.seen(name)
                # The default namespace always exists: it must be empty.
                if space is not None and (name != DEFAULT or space.committed):
                    text = f'The namespace "{name}" already exists.'
                    raise ImportFailed(f"User error: {text} Imports are only allowed into nonexistent namespaces.")

    def _load(self, run: Import, s3: S3Client, files: list[File]) -> dict[str, dict[str, Record]]:
        seen = {name: Seen() for name in sorted(run.namespaces)}
        loaded: dict[str, dict[str, Record]] = {name: {} for name in seen}
        for number, file in enumerate(files, 1):
            if run.cancelled.wait(self._settings.import_seconds / len(files)):
                break
            self._load_file(run, s3, file, loaded[file.namespace], seen[file.namespace])
            run.percent = 100 * number / len(files)
        return loaded

    def _load_file(self, run: Import, s3: S3Client, file: File, loaded: dict[str, Record], seen: Seen) -> None:
        content = import_rows.read_file(s3, file)
        run.bytes_read += len(content)
        for at, row in enumerate(import_rows.rows(file, content)):
            try:
                record = import_rows.judge(row, self._dimension, self._metric, self._settings, seen)
            except RowRefused as refused:
                if not run.skips:
                    text = f'error reading record (file "/{file.name}", row {at}): {refused}'
                    raise ImportFailed(f"User error: {text}") from None
                continue
            loaded[record.id] = record
            run.imported += 1

    def _commit(self, run: Import, loaded: dict[str, dict[str, Record]]) -> None:
        with self._spaces.lock:
            if run.status != "InProgress":
                return
            for name, records in loaded.items():
                if not records:
                    raise ImportFailed(f"No vectors added, all rows were skipped for namespace: {name}")
            for name, records in loaded.items():
                space = self._spaces.open(name)
                # A completed import can be queried, whatever the lag of upserts.
                space.write(records, AT_ONCE)
                space.advance(time.monotonic())
            self._finish(run, "Completed")

    def _finish(self, run: Import, status: Status, error: str | None = None) -> None:
        with self._spaces.lock:
            if run.status not in RUNNING:
                return
            run.status, run.error, run.finished = status, error, datetime.now(UTC)
            if status != "Completed":
                run.imported = 0
                run.cancelled.set()
        self._holds.note_end()
