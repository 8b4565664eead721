"""A brake on guessing: an address that failed often has to wait."""

from __future__ import annotations

import ipaddress
import math
import threading
import time

from cachetools import TTLCache

from pinery.web.hosts import ip

FAILURES, SECONDS, ADDRESSES = 8, 60.0, 10_000


class Brake:
    """Counts the failures of each address, an IPv6 network of 64 bits as one. Safe to use from several threads."""

    def __init__(self, failures: int = FAILURES, seconds: float = SECONDS) -> None:
        self._most, self._seconds = failures, seconds
        self._failed: TTLCache[str, list[float]] = TTLCache(ADDRESSES, seconds)
        self._lock = threading.Lock()

    def wait(self, address: str) -> int:
        """Return the seconds until this address may try again, 0 for now."""
        with self._lock:
            failed = self._recent(address)
            if len(failed) < self._most:
                return 0
            return max(1, math.ceil(failed[-self._most] + self._seconds - time.monotonic()))

    def failed(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            self._failed[_network(address)] = [*self._recent(address), time.monotonic()][-self._most :]

    def _recent(self, address: str) -> list[float]:
        since = time.monotonic() - self._seconds
        return [at for at in self._failed.get(_network(address), ()) if at > since]


def _network(address: str) -> str:
    found = ip(address)
    if found is None or found.version == 4:
        return str(found or address)
    return str(ipaddress.ip_network((found, 64), strict=False))
