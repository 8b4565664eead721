"""The memory that a state has of a corpus' items, as its source asks for it while it lists."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.root import CorpusPaths
from pinery.checkpoint.store import Store
from pinery.config import Config
from pinery.parquet.files import stream

STAMP = "%Y%m%dT%H%M%S%fZ"
"""The time that the name of a run, and so of its listing, begins with."""
BATCH_ROWS = 16384
_MARKED = "^[0-9]+--?[0-9]+-[0-9a-f]+$"


class StatePast:
    """The past of one corpus: its current listing, and the bytes that its checkpoints have vectors of."""

    def __init__(
        self,
        config: Config,
        store: Store,
        current_listing: Callable[[], str | None],
        model_keys: Callable[[], Iterable[str]],
    ) -> None:
        """Read nothing yet; `model_keys` names the checkpoints, the likeliest first."""
        self._config, self._store = config, store
        self._current_listing, self._model_keys = current_listing, model_keys

    def cache(self) -> Path | None:
        """Return a local folder for what the source remembers between listings; None before the first run."""
        config = self._config
        if not config.is_s3_state and not (Path(config.state) / config.corpus).is_dir():
            return None  # whoever only looks at what a run would do leaves nothing behind
        return self._store.cache(f"{config.corpus}/source")

    def listed_at(self) -> int:
        """See Past."""
        name = self._current_listing()
        try:
            begun = datetime.strptime((name or "").rpartition("/")[2].partition("-")[0], STAMP).replace(tzinfo=UTC)
        except ValueError:
            return 0
        return int(begun.timestamp() * 1_000_000) * 1000

    def marked(self) -> Mapping[str, str]:
        """See Past."""
        found: dict[str, str] = {}
        for batch in self._listing(["id", "version"]):
            rows = batch.filter(pc.match_substring_regex(batch["version"], _MARKED))
            found |= {row["id"]: row["version"] for row in rows.to_pylist()}
        return found

    def below(self, uri: str) -> Iterator[tuple[str, str, int]]:
        """See Past."""
        for batch in self._listing(["uri", "version", "bytes"]):
            at_it = pc.equal(batch["uri"], pa.scalar(uri))
            rows = batch.filter(pc.or_(at_it, pc.starts_with(batch["uri"], f"{uri.rstrip('/')}/")))
            yield from ((row["uri"], row["version"], row["bytes"]) for row in rows.to_pylist())

    def sums(self, items: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """See Past."""
        wanted, found = set(items), dict[tuple[str, str], str]()
        ids = pa.array({id for id, _ in items}, pa.string())
        for file in self._parts():
            for batch in stream(file, ["id", "version", "sha256"], BATCH_ROWS):
                rows = batch.filter(pc.and_(pc.is_in(batch["id"], ids), pc.is_valid(batch["sha256"])))
                for row in rows.to_pylist():
                    if (item := (row["id"], row["version"])) in wanted:
                        found.setdefault(item, row["sha256"])
        return found

    def _parts(self) -> Iterator[Path]:
        paths = CorpusPaths(self._config.corpus)
        for key in self._model_keys():
            yield from Checkpoint(self._store, paths.parts(key)).key_files().values()

    def _listing(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        name = self._current_listing()
        if name is not None:
            yield from stream(self._store.local(name), columns, BATCH_ROWS)
