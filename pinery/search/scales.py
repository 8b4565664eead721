"""The scale of each target that a searcher asks: read from the state, or measured once for each listing."""

from __future__ import annotations

import contextlib
import threading

from pinery.corpus.target import Target
from pinery.errors import DamagedError, PineryError, TerminalError
from pinery.search.scale import Scale, measure, read_scale, write_scale

ATTEMPTS = 3


class Scales:
    """Scales by model and metric. Safe to use from several threads.

    Measuring reads up to 256 MiB of the checkpoint, which no query of a server should wait for. So a thread measures,
    and until it is done, the scale of an earlier listing answers, or none; with `wait`, a query waits for it.
    """

    def __init__(self, *, wait: bool) -> None:
        self._wait = wait
        self._lock = threading.Lock()
        self._known: dict[str, Scale | None] = {}
        self._measured: dict[str, str] = {}
        """The listing for which each scale was measured, or could not be."""
        self._threads: list[threading.Thread] = []

    def of(self, target: Target, listing: str | None) -> Scale | None:
        """Return what is known of a target's scores by the listing of that name."""
        if listing is None:
            return None
        name = target.paths.scores(target.card.key, target.config.index.metric)
        with self._lock:
            if self._measured.get(name) == listing:
                return self._known[name]
            self._measured[name] = listing
            self._known.setdefault(name, None)
        if self._wait:
            self._find(name, target, listing)
        else:
            thread = threading.Thread(target=self._find, args=(name, target, listing), name="pinery-scale", daemon=True)
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
            thread.start()
        with self._lock:
            return self._known[name]

    def found(self) -> None:
        """Wait until all that is being measured is known."""
        for thread in list(self._threads):
            thread.join()

    def _find(self, name: str, target: Target, listing: str) -> None:
        # A search does without a scale that can't be had: a part may be damaged, or replaced at this moment.
        with contextlib.suppress(PineryError):
            scale = _stored_or_measured(name, target, listing)
            with self._lock:
                if self._measured[name] == listing:
                    self._known[name] = scale


def _stored_or_measured(name: str, target: Target, listing: str) -> Scale:
    """Return the scale of that listing from the state, or measure it and leave it there for others."""
    try:
        found = read_scale(target.store, name)
    except DamagedError:  # it is derived, and is derived again
        found = None
        target.store.delete(name)
    if found is not None and found[0].listing == listing:
        return found[0]
    scale = _measured(target, listing)
    if found is None or found[0].listing < listing:
        # No lease is needed: whoever else measures finds the same. A state that can't be written is read all the same.
        with contextlib.suppress(PineryError):
            write_scale(target.store, name, scale, found[1] if found else None)
    return scale


def _measured(target: Target, listing: str) -> Scale:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return measure(target.checkpoint, target.store, listing, target.config.index.metric)
        except DamagedError:
            raise
        except TerminalError:  # a part is gone, which another process has put into a new one meanwhile
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")
