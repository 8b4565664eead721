"""The items of a listing by id: scanned for the first look-up, in a table of their own from the second on."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pinery.checkpoint.listings import listed_batches
from pinery.checkpoint.store import Store
from pinery.errors import PineryError

COLUMNS = ["id", "uri", "version", "metadata"]
Row = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class ListedItem:
    """One item as the current listing has it."""

    id: str
    uri: str
    version: str
    metadata: Mapping[str, Any]


class ListedItems:
    """Looks up the items of one listing. Safe to use from several threads.

    A scan reads the whole listing, which a single command can wait for and a server can't. So the second look-up has a
    thread fill a temporary SQLite file, which SQLite deletes when it is closed; until it is full, look-ups scan.
    """

    def __init__(self, store: Store, name: str) -> None:
        """Open nothing yet: `name` is the listing's, in the store."""
        self.name = name
        self._store = store
        self._lock = threading.Lock()
        self._looked_up = 0
        self._table: sqlite3.Connection | None = None
        self._filling: threading.Thread | None = None

    def of(self, ids: Sequence[str]) -> dict[str, ListedItem]:
        """Return the items of those ids that are listed. Raises DamagedError, TerminalError where the file is gone."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        with self._lock:
            self._looked_up += 1
            if self._looked_up == 2:
                self._filling = threading.Thread(target=self._fill, name="pinery-listing", daemon=True)
                self._filling.start()
            found = None if self._table is None else self._found(self._table, wanted)
        if found is None:
            found = self._scanned(wanted)
        return {row[0]: ListedItem(row[0], row[1], row[2], json.loads(row[3])) for row in found}

    def filled(self) -> None:
        """Wait for the table, if one is being filled."""
        if self._filling is not None:
            self._filling.join()

    @staticmethod
    def _found(table: sqlite3.Connection, ids: list[str]) -> list[Row]:
        found = list[Row]()
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            marks = ",".join("?" * len(some))
            found += table.execute(f"SELECT {','.join(COLUMNS)} FROM items WHERE id IN ({marks})", some).fetchall()
        return found

    def _scanned(self, ids: list[str]) -> list[Row]:
        wanted, found = pa.array(ids, pa.string()), list[Row]()
        for batch in listed_batches(self._store, self.name, COLUMNS):
            hits = batch.filter(pc.is_in(batch["id"], wanted))
            found += _rows(hits)
            if len(found) == len(ids):
                break
        return found

    def _fill(self) -> None:
        table = sqlite3.connect("", check_same_thread=False)  # SQLite's name for a temporary file of its own
        try:
            table.execute(f"CREATE TABLE items ({','.join(COLUMNS)}, PRIMARY KEY (id)) WITHOUT ROWID")
            for batch in listed_batches(self._store, self.name, COLUMNS):
                table.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?)", _rows(batch))
            table.commit()
        except (PineryError, sqlite3.Error):  # look-ups scan on, and say what is wrong with the listing
            table.close()
            return
        with self._lock:
            self._table = table


def _rows(batch: pa.RecordBatch) -> Iterable[Row]:
    return zip(*(batch[name].to_pylist() for name in COLUMNS), strict=True)
