"""A worker on a node of a Ray cluster, from within: makes the files of parts and leaves them in the staging place.

Ray calls its methods from several threads: one thread makes a part, while another waits for the news of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

import pyarrow as pa
import pyarrow.parquet as pq

from pinery.allocator import keep_freed_memory
from pinery.embedding.columns import Known, Vector
from pinery.embedding.job import Job, Order, Staging
from pinery.embedding.worker_process import Failure, GpuMemory, Maker, Told
from pinery.errors import PineryError, TransientError
from pinery.models.protocol import Model
from pinery.records import PartReport, Work
from pinery.sources import open_source

NEWS_SECONDS = 2.0
"""Seconds that a call for news waits for some. An answer without any says that the worker lives."""
FOLDERS = "pinery-ray-"


@dataclass(frozen=True, slots=True)
class Ask:
    """The hashes of a batch: the run is to answer which of these images have a vector already."""

    sha256: Sequence[str]


Message = Told | Ask | PartReport | Failure
"""The kinds of news of a part; the last one is a report or a failure."""


class RayWorker:
    """Makes parts on a node, one at a time, with a model that it keeps."""

    def __init__(self, job: Job, staging: Staging, build: Callable[[], Model]) -> None:
        """Load nothing yet; `build` builds the model."""
        keep_freed_memory()
        self._job, self._staging = job, staging
        self._news: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Mapping[str, Vector]] = queue.SimpleQueue()
        self._folder = _Folder()
        self._maker = Maker(job, self._known, build, self._tell, lambda: False, GpuMemory(job.config.model.device))

    def check(self) -> str | Failure:
        """Return the node's name; a failure where the source or the state can't be reached from it."""
        try:
            open_source(self._job.config.source).check()
            self._staging.check()
        except PineryError as error:
            return Failure(type(error)(f"on node {gethostname()} of the Ray cluster: {error}"), usable=True)
        return gethostname()

    def begin(self, rows: bytes, part: str, name: str) -> None:
        """Begin to make `part` of these rows (an Arrow stream); its file gets this name in the staging place."""
        threading.Thread(target=self._make, args=(rows, part, name), name=part, daemon=True).start()

    def news(self) -> list[Message]:
        """Return what is new of the part in the making, in order; empty where nothing is for a while."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._news.get(timeout=NEWS_SECONDS))
            while True:
                found.append(self._news.get_nowait())
        return found

    def answer(self, vectors: Mapping[str, Vector]) -> None:
        """Take the answer to the last question."""
        self._answers.put(vectors)

    def _tell(self, message: Told) -> None:
        self._news.put(message)

    def _known(self) -> Known:
        return _KnownToRun(self._news.put, self._answers.get)

    def _make(self, rows: bytes, part: str, name: str) -> None:
        listed, made = self._folder.path / f"{name}.items", self._folder.path / name
        try:
            answer = self._made(rows, part, listed, made)
        finally:
            listed.unlink(missing_ok=True)
            made.unlink(missing_ok=True)
        self._news.put(answer)

    def _made(self, rows: bytes, part: str, listed: Path, made: Path) -> PartReport | Failure:
        try:
            table = pa.ipc.open_stream(rows).read_all()
            # The metadata may say that there are checksums, which were those of another file.
            pq.write_table(table.replace_schema_metadata(None), listed)
            answer = self._maker(Order(Work(part, listed, 0, table.num_rows), made))
            if isinstance(answer, PartReport) and answer.rows:
                self._staging.put(made.name, made)
            return answer
        except PineryError as error:
            return Failure(error, usable=True)
        except OSError as error:
            return Failure(TransientError(f"node {gethostname()} can't make {part}: {error}"), usable=False)


class _KnownToRun:
    """The vectors that the checkpoint has, as the run looks them up: no node needs a copy of its table."""

    def __init__(self, ask: Callable[[Ask], None], answer: Callable[[], Mapping[str, Vector]]) -> None:
        self._ask, self._answer = ask, answer

    def find(self, sha256: Sequence[str]) -> Mapping[str, Vector]:
        """See Known."""
        if not sha256:
            return {}
        self._ask(Ask(tuple(sha256)))
        return self._answer()


class _Folder:
    """A folder of this process alone, on the node's own disk; those of processes that were killed are removed."""

    def __init__(self) -> None:
        above = Path(tempfile.gettempdir())
        for other in above.glob(f"{FOLDERS}*"):
            with contextlib.suppress(OSError), (other / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a process that lives has it locked
                shutil.rmtree(other, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=FOLDERS))
        self._lock = (self.path / "lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
