"""Limits over time: requests per second and namespace, and write units per month."""

import threading
import time

from tests.pinecone_server.log import RequestLog
from tests.pinecone_server.settings import Settings
from tests.pinecone_server.shapes import RESOURCE_EXHAUSTED, data_refusal

WRITES = ("upsert", "update", "delete")


class Pace:
    """A bucket of a second's requests per namespace, filled at `settings.rate`."""

    def __init__(self, settings: Settings, log: RequestLog) -> None:
        self._settings, self._log = settings, log
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def check(self, op: str, index: str, namespace: str) -> None:
        """Refused (429) where the request is one too many."""
        month, rate = self._settings.month_write_units, self._settings.rate
        if month is not None and op in WRITES and self._log.write_units >= month:
            text = f"Request failed. You've reached your write unit limit for the current month ({month})."
            raise data_refusal(f"{text} To continue writing data, upgrade your plan.", 429, RESOURCE_EXHAUSTED)
        if rate is not None and not self._admitted((index, namespace), rate):
            text = f"Request failed. You've reached the max {op} requests per second per namespace ({rate:g})."
            raise data_refusal(f"{text} Pause and retry.", 429, RESOURCE_EXHAUSTED)

    def _admitted(self, key: tuple[str, str], rate: float) -> bool:
        most = max(rate, 1.0)
        with self._lock:
            now = time.monotonic()
            left, then = self._buckets.get(key, (most, now))
            left = min(most, left + (now - then) * rate)
            admitted = left >= 1
            self._buckets[key] = left - admitted, now
            return admitted
