"""A table of metadata beside the images, in CSV or Parquet, with one row for each item, found by the item's name."""

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from pinery.errors import ConfigError
from pinery.sources.columns import Column, Guessed, Kind, Typed, Wanted
from pinery.sources.ids import decoded, plain
from pinery.sources.sidecar_csv import CsvTable
from pinery.sources.sidecar_parquet import ParquetTable

NAMES_AT_ONCE = 200
"""Items are looked up so many at a time, so that their rows fit into memory, however long."""
_EXACT, _PLAIN, _DECODED = range(3)
"""The ways in which a row names an item: as written, plainly, or with its percent-encoded characters decoded."""
_BY_NAME = f"SELECT name, {_EXACT}, row, fields FROM rows WHERE name IN (%s)"
_BY_MEANING = "SELECT meant.name, rank, row, fields FROM meant JOIN rows USING (row) WHERE meant.name IN (%s)"

_Rows = dict[tuple[str, int], list[tuple[int, str]]]
"""The numbers of rows and their fields as JSON, by the name and the way in which it names the item."""


class Names(NamedTuple):
    """The names that a sidecar may have for one item."""

    written: tuple[str, ...]
    """Names that a row may have letter by letter, the best first."""
    others: tuple[str, ...]
    """Plain names that a row may mean, where none has one of `written`."""


class Sidecar:
    """Metadata by item, from a CSV or Parquet file.

    Its rows are kept in a temporary SQLite file, so that memory doesn't grow with them, and are looked up by name: the
    first items of a listing need not wait for the last, as they would for a join of all.
    """

    def __init__(self, path: str | Path, types: Mapping[str, Kind] | None = None, name: str | None = None) -> None:
        """Read all of the file; `name` is what it is called in errors, where that isn't its path.

        Raises ConfigError where the file can't be read, has no `id` column, two columns of one name, a row without an
        id or twice the same, or a value that is not of the type that `types` wants of its column.
        """
        self.name = f"sidecar {name or path}"
        self._folder = tempfile.TemporaryDirectory(prefix="pinery-sidecar-")
        self._db = sqlite3.connect(Path(self._folder.name) / "rows.sqlite", check_same_thread=False)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE rows (row INTEGER PRIMARY KEY, name TEXT UNIQUE, fields TEXT);"
            "CREATE TABLE meant (name TEXT, rank INTEGER, row INTEGER, PRIMARY KEY (name, rank, row)) WITHOUT ROWID;"
        )
        self._columns: dict[int, tuple[str, Column]] = {}
        try:
            self._load(_table(Path(path), self.name), types or {})
        except FileNotFoundError:
            raise ConfigError(f"{self.name} does not exist; correct `source.sidecar`") from None
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.name} can't be read: {error}") from None
        [(self.rows,)] = self._db.execute("SELECT count(*) FROM rows")
        self._matched = bytearray(self.rows)

    def find(self, items: Iterable[Names]) -> Iterator[dict[str, Any] | None]:
        """Yield the metadata of each item by the names of its column, or None where no row names it.

        Raises ConfigError where two rows name one item.
        """
        items = iter(items)
        while some := list(islice(items, NAMES_AT_ONCE)):
            rows = self._rows(list({name for names in some for name in (*names.written, *names.others)}))
            for names in some:
                row = self._row(names, rows)
                yield None if row is None else self._values(*row)

    def _rows(self, names: list[str]) -> _Rows:
        found: _Rows = {}
        marks = ",".join("?" * len(names))
        for query in (_BY_NAME, _BY_MEANING):
            for name, rank, *row in self._db.execute(query % marks, names):
                found.setdefault((name, rank), []).append(tuple(row))
        return found

    def _row(self, names: Names, rows: _Rows) -> tuple[int, str] | None:
        for name in names.written:
            if (name, _EXACT) in rows:
                return rows[name, _EXACT][0]
        for name in names.others:
            plainly = rows.get((name, _EXACT), []) + rows.get((name, _PLAIN), [])
            found = plainly or rows.get((name, _DECODED), [])
            if len(found) > 1:
                raise ConfigError(f"{self.name} has two rows for the item {name!r}; remove one of them")
            if found:
                return found[0]
        return None

    def forget_matches(self) -> None:
        """Reset the count of the rows that an item was found for."""
        self._matched = bytearray(self.rows)

    @property
    def matched(self) -> int:
        """The number of rows that an item was found for."""
        return self._matched.count(1)

    def unmatched(self, count: int) -> list[str]:
        """Return the names of the first `count` rows that no item was found for."""
        rows = islice((row for row, matched in enumerate(self._matched) if not matched), count)
        query = "SELECT name FROM rows WHERE row = ?"
        return [name for row in rows for (name,) in self._db.execute(query, (row,))]

    def _values(self, row: int, text: str) -> dict[str, Any]:
        self._matched[row] = 1
        fields = json.loads(text)
        return {name: column.read(_restored(fields[at])) for at, (name, column) in self._columns.items()}

    def _load(self, table: CsvTable | ParquetTable, types: Mapping[str, Kind]) -> None:
        names = table.columns
        _check_columns(self.name, names, types)
        at_id = names.index("id")
        for at, name in enumerate(names):
            if name and at != at_id:
                self._columns[at] = (
                    name,
                    Wanted(types[name]) if name in types else Typed() if table.typed else Guessed(),
                )
        for row, (place, fields) in enumerate(table.rows()):
            id = fields[at_id]
            if id is None or id == "":
                raise ConfigError(f"{self.name} has a row without an id: {place}")
            self._see(place, fields)
            self._enter(row, place, str(id), fields)
        self._db.commit()

    def _see(self, place: str, fields: list[Any]) -> None:
        for at, (name, column) in self._columns.items():
            try:
                column.see(fields[at])
            except (ValueError, TypeError) as error:
                raise ConfigError(
                    f"{self.name}: {place}, column {name!r}: {fields[at]!r} is not what `source.sidecar_types` wants"
                    f" ({error})"
                ) from None

    def _enter(self, row: int, place: str, name: str, fields: list[Any]) -> None:
        try:
            self._db.execute("INSERT INTO rows VALUES (?, ?, ?)", (row, name, _STORED.encode(fields)))
        except sqlite3.IntegrityError:
            raise ConfigError(f"{self.name} has the id {name!r} more than once: again in {place}") from None
        if name == plain(name) and "%" not in name:
            return
        known = {name}
        for meant, rank in ((plain(name), _PLAIN), (plain(decoded(name)), _DECODED)):
            if meant not in known:
                self._db.execute("INSERT INTO meant VALUES (?, ?, ?)", (meant, rank, row))
                known.add(meant)


def _table(path: Path, name: str) -> CsvTable | ParquetTable:
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return CsvTable(path, name)
        case ".parquet":
            return ParquetTable(path, name)
    raise ConfigError(f"{name} is neither a .csv nor a .parquet file")


def _check_columns(name: str, columns: list[str], types: Mapping[str, Kind]) -> None:
    shown = ", ".join(column for column in columns if column) or "none"
    if "id" not in columns:
        raise ConfigError(f"{name} has no column `id`; it has: {shown}")
    if twice := sorted({column for column in columns if column and columns.count(column) > 1}):
        raise ConfigError(f"{name} has the column {twice[0]!r} more than once; rename one of them")
    if unknown := sorted(types.keys() - set(columns)):
        raise ConfigError(f"{name} has no column {unknown[0]!r}, which `source.sidecar_types` names; it has: {shown}")


def _storable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no metadata")


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [one["decimal"] if isinstance(one, dict) else one for one in value]
    return Decimal(value["decimal"]) if isinstance(value, dict) else value


_STORED = json.JSONEncoder(default=_storable)
