"""Bytes that a part has several times are embedded once; the others take the vector, or the verdict, of the first."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pinery.models.preparing import Outcome

Vector = npt.NDArray[np.float32]

KEPT_BYTES = 64 << 20
"""The bytes of the vectors kept. Beyond that the oldest are forgotten, and their images embedded anew if met again."""

AWAITED: Vector = np.empty(0, np.float32)
"""Stands for the vector of bytes that are being embedded; told by its identity."""


class Seen:
    """What became of the bytes of one part so far; `known` says what was there before it."""

    def __init__(self, known: Callable[[str], Vector | None]) -> None:
        self._known = known
        self._lock = threading.Lock()
        self._begun: set[str] = set()
        self._done: dict[str, Outcome] = {}
        self._bytes = 0
        self._awaited: Counter[str] = Counter()
        """How many AWAITED of these bytes were handed out and not settled yet."""
        self._waiting: list[Outcome] = []

    def values(self, sha256: str) -> Vector | None:
        """The vector (dimension,) of these bytes, or AWAITED, or None for whoever is to embed them. Thread-safe."""
        with self._lock:
            if sha256 in self._begun:
                return self._of_this_part(sha256)
        known = self._known(sha256)  # outside of the lock: it reads files
        if known is not None:
            return known
        with self._lock:
            if sha256 in self._begun:
                return self._of_this_part(sha256)
            self._begun.add(sha256)
        return None

    def settle(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Those outcomes whose vector or verdict is there by now: of `outcomes`, and of earlier ones that waited."""
        with self._lock:
            for outcome in outcomes:
                self._keep(outcome)
            told: list[Outcome] = []
            waiting: list[Outcome] = []
            for outcome in [*self._waiting, *outcomes]:
                settled = self._settled(outcome)
                (waiting if settled is None else told).append(settled or outcome)
            self._waiting = waiting
            self._forget()
        return told

    def _of_this_part(self, sha256: str) -> Vector:
        done = self._done.get(sha256)
        if done is not None and done.values is not None:
            return done.values
        self._awaited[sha256] += 1
        return AWAITED

    def _keep(self, outcome: Outcome) -> None:
        sha256 = outcome.sha256
        if sha256 in self._begun and sha256 not in self._done and outcome.values is not AWAITED:
            self._done[sha256] = outcome
            self._bytes += _size(outcome)

    def _settled(self, outcome: Outcome) -> Outcome | None:
        if outcome.values is not AWAITED or outcome.sha256 is None:
            return outcome
        first = self._done.get(outcome.sha256)
        if first is None:
            return None
        self._awaited[outcome.sha256] -= 1
        return replace(outcome, values=first.values, error=first.error, reused=first.values is not None)

    def _forget(self) -> None:
        for sha256 in list(self._done) if self._bytes > KEPT_BYTES else ():
            if self._bytes <= KEPT_BYTES:
                return
            if not self._awaited[sha256]:
                self._bytes -= _size(self._done.pop(sha256))
                self._begun.discard(sha256)


def _size(outcome: Outcome) -> int:
    return 0 if outcome.values is None else outcome.values.nbytes
