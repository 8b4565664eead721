"""A corpus that changes between runs, and an account of which of its rows were sent to the index again."""

import csv
from collections import Counter
from pathlib import Path
from random import Random

from tests.corpora import COLOURS, paint
from tests.pinecone_server.server import PineconeServer

TEXT_BYTES = 32_000
"""Metadata of a row, so long that a request of 2 MB holds few dozen rows and a small corpus fills many requests."""


class ChangingCorpus:
    """Images in a folder beside a sidecar table, both changed at random."""

    def __init__(self, folder: Path, chooser: Random, size: int) -> None:
        self.images, self.sidecar = folder / "images", folder / "sidecar.csv"
        self.numbers: dict[str, int] = {}
        """For every id the number of its present picture; no picture comes twice."""
        self.label = 0
        self._chooser, self._next = chooser, 0
        self._add(size)
        self.relabel()

    def change(self) -> None:
        """Add six images, change four and remove four."""
        chosen = self._chooser.sample(sorted(self.numbers), 8)
        for id in chosen[:4]:
            self._paint(id)
        for id in chosen[4:]:
            (self.images / id).unlink()
            del self.numbers[id]
        self._add(6)

    def relabel(self) -> None:
        """Give every image other metadata."""
        self.label += 1
        with self.sidecar.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "text"])
            rows.writerows([id, f"{self.label} {'x' * TEXT_BYTES}"] for id in self.numbers)

    def _add(self, count: int) -> None:
        for _ in range(count):
            self._paint(f"{self._next:06d}.jpg")

    def _paint(self, id: str) -> None:
        self.numbers[id] = self._next
        paint(self.images / id, list(COLOURS)[self._next % len(COLOURS)], self._next)
        self._next += 1


class Sent:
    """The rows, by id, picture and label, that the index has been sent."""

    def __init__(self, server: PineconeServer, index: str, namespace: str, corpus: ChangingCorpus) -> None:
        self._server, self._index, self._namespace, self._corpus = server, index, namespace, corpus
        self._before: Counter[str] = Counter()
        self._rows: set[tuple[str, int, int]] = set()

    def count_run(self) -> tuple[int, int]:
        """Rows sent since the last call, and how many of them had been sent before just as they are."""
        now = self._server.log.upserts(self._index, self._namespace)
        sent, again = now - self._before, 0
        for id, times in sent.items():
            row = (id, self._corpus.numbers.get(id, -1), self._corpus.label)
            again += times - (row not in self._rows)
            self._rows.add(row)
        self._before = now
        return sent.total(), again
