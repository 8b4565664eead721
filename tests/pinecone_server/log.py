"""The request log: what was asked, in order, how much at once, which rows were written, and what it costs."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished request. `status` 0 is a broken connection; `bytes` is the request body's size.

    `records` and `write_units` are those of its effect, also where the answer told nothing of it.
    """

    op: str
    index: str
    namespace: str
    records: int
    bytes: int
    status: int
    seconds: float
    write_units: int = 0
    protocol: str = "rest"


class RequestLog:
    """All requests since the start or the last `clear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._entries: list[Entry] = []
        self._in_flight: dict[str, int] = {}
        self._peak: dict[str, int] = {}
        self._upserts: dict[tuple[str, str], Counter[str]] = {}
        self._write_units = 0

    def begin(self, op: str) -> float:
        """Note that a request of `op` is in flight; its start on the monotonic clock."""
        with self._lock:
            self._in_flight[op] = self._in_flight.get(op, 0) + 1
            self._peak[op] = max(self._peak.get(op, 0), self._in_flight[op])
        return time.monotonic()

    def end(self, entry: Entry, upserted: Iterable[str] = ()) -> None:
        """Note a finished request, and the ids that it wrote."""
        with self._lock:
            self._in_flight[entry.op] -= 1
            self._entries.append(entry)
            self._write_units += entry.write_units
            self._upserts.setdefault((entry.index, entry.namespace), Counter()).update(upserted)
            self._ended.notify_all()

    def wait_for(self, op: str, count: int, timeout: float = 10.0) -> bool:
        """Wait until `count` requests of `op` are in the log; False after `timeout` s."""
        with self._ended:
            return self._ended.wait_for(lambda: sum(e.op == op for e in self._entries) >= count, timeout)

    def wait_idle(self, timeout: float = 10.0) -> bool:
        """Wait until no request is in flight; False after `timeout` s."""
        with self._ended:
            return self._ended.wait_for(lambda: not any(self._in_flight.values()), timeout)

    @property
    def entries(self) -> list[Entry]:
        """A copy of the log."""
        with self._lock:
            return list(self._entries)

    @property
    def write_units(self) -> int:
        """The cost of all writes together."""
        with self._lock:
            return self._write_units

    def count(self, op: str | None = None, status: int | None = None) -> int:
        """Return how many requests there were; only those of `op`, only those answered with `status`."""
        return len(self._chosen(op, status))

    def records(self, op: str, status: int | None = 200) -> int:
        """Return how many records the requests of `op` wrote or found."""
        return sum(entry.records for entry in self._chosen(op, status))

    def bytes(self, op: str, status: int | None = 200) -> int:
        """Return how many body bytes the requests of `op` had."""
        return sum(entry.bytes for entry in self._chosen(op, status))

    def peak(self, op: str) -> int:
        """The most requests of `op` that were in flight at once."""
        with self._lock:
            return self._peak.get(op, 0)

    def upserts(self, index: str, namespace: str = "__default__") -> Counter[str]:
        """Return how often upserts wrote each id of a namespace, also where no answer came back."""
        with self._lock:
            return Counter(self._upserts.get((index, namespace), Counter()))

    def accounts(self) -> dict[str, Any]:
        """Sums: per operation its requests, failed ones, records and body bytes; rows written, rows that were written
        more than once, and write units.
        """
        routes: dict[str, dict[str, int]] = {}
        for entry in self.entries:
            sums = routes.setdefault(entry.op, dict.fromkeys(("requests", "failed", "records", "bytes"), 0))
            sums["requests"] += 1
            sums["failed"] += not 200 <= entry.status < 300
            sums["records"] += entry.records
            sums["bytes"] += entry.bytes
        with self._lock:
            counts = list(self._upserts.values())
            written = sum(map(len, counts))
            again = sum(count > 1 for space in counts for count in space.values())
        return {"routes": routes, "rows": written, "rows_again": again, "write_units": self.write_units}

    def clear(self) -> None:
        """Forget all finished requests, peaks and sums."""
        with self._lock:
            self._entries.clear()
            self._peak.clear()
            self._upserts.clear()
            self._write_units = 0

    def _chosen(self, op: str | None, status: int | None) -> list[Entry]:
        return [e for e in self.entries if op in (None, e.op) and status in (None, e.status)]
