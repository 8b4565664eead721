"""The request log: what was asked, in order, and how much at once."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished request. `status` 0 is a broken connection; `bytes` is the request body's size."""

    op: str
    index: str
    namespace: str
    records: int
    bytes: int
    status: int
    seconds: float


class RequestLog:
    """All requests since the start or the last `clear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._entries: list[Entry] = []
        self._in_flight: dict[str, int] = {}
        self._peak: dict[str, int] = {}

    def begin(self, op: str) -> float:
        """Note that a request of `op` is in flight; its start on the monotonic clock."""
        with self._lock:
            self._in_flight[op] = self._in_flight.get(op, 0) + 1
            self._peak[op] = max(self._peak.get(op, 0), self._in_flight[op])
        return time.monotonic()

    def end(self, entry: Entry) -> None:
        """Note a finished request."""
        with self._lock:
            self._in_flight[entry.op] -= 1
            self._entries.append(entry)
            self._ended.notify_all()

    def wait_for(self, op: str, count: int, timeout: float = 10.0) -> bool:
        """Wait until `count` requests of `op` are in the log; False after `timeout` s."""
        with self._ended:
            return self._ended.wait_for(lambda: sum(e.op == op for e in self._entries) >= count, timeout)

    @property
    def entries(self) -> list[Entry]:
        """A copy of the log."""
        with self._lock:
            return list(self._entries)

    def count(self, op: str | None = None, status: int | None = None) -> int:
        """How many requests; only those of `op`, only those answered with `status`."""
        return len(self._chosen(op, status))

    def records(self, op: str, status: int | None = 200) -> int:
        """How many records the requests of `op` carried, or found."""
        return sum(entry.records for entry in self._chosen(op, status))

    def bytes(self, op: str, status: int | None = 200) -> int:
        """How many body bytes the requests of `op` had."""
        return sum(entry.bytes for entry in self._chosen(op, status))

    def peak(self, op: str) -> int:
        """The most requests of `op` that were in flight at once."""
        with self._lock:
            return self._peak.get(op, 0)

    def clear(self) -> None:
        """Forget all finished requests and peaks."""
        with self._lock:
            self._entries.clear()
            self._peak.clear()

    def _chosen(self, op: str | None, status: int | None) -> list[Entry]:
        return [e for e in self.entries if op in (None, e.op) and status in (None, e.status)]
