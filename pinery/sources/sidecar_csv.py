"""A CSV sidecar: its columns, and its rows one after the other."""

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

from pinery.errors import ConfigError

SEPARATORS = (",", ";", "\t", "|")


class CsvTable:
    """The rows of a CSV file in UTF-8, separated as its header is. A file with only a header has no rows."""

    typed = False

    def __init__(self, path: Path, name: str) -> None:
        """Read the header; errors call the file `name`. Raises ConfigError where the header can't be read."""
        csv.field_size_limit(sys.maxsize)  # a text that is too long for an index costs its row, not the sidecar
        self._path, self._name = path, name
        try:
            with self._open() as file:
                self._separator, self.columns = _header(file.read(1 << 20))
        except UnicodeDecodeError:
            self._fail_by_encoding()
        self._named = max((at + 1 for at, column in enumerate(self.columns) if column), default=0)

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each row's place, for errors, and its fields. Raises ConfigError where a row can't be read."""
        start = number = 1
        try:
            with self._open() as file:
                reader = csv.reader(file, delimiter=self._separator, strict=True)
                next(reader, None)
                start = reader.line_num + 1
                for row in reader:
                    if row:
                        yield f"row {number} (line {start})", self._fitted(row, start)
                        number += 1
                    start = reader.line_num + 1
        except UnicodeDecodeError:
            self._fail_by_encoding()
        except csv.Error as error:
            why = "a quoted value is never closed; is the file whole?" if "end of data" in str(error) else str(error)
            raise ConfigError(f"{self._name} can't be read: line {start}: {why}") from None

    def _fitted(self, row: list[str], line: int) -> list[str]:
        width = len(self.columns)
        if self._named <= len(row):
            row += [""] * (width - len(row))  # columns without a name are no metadata
        if len(row) < width or any(row[width:]):
            raise ConfigError(
                f"{self._name} can't be read: line {line} has {len(row)} values, and the header {width} columns;"
                " is the file whole, are values with a separator in them quoted?"
            )
        return row[:width]

    def _open(self) -> IO[str]:
        return self._path.open(encoding="utf-8-sig", newline="")

    def _fail_by_encoding(self) -> NoReturn:
        with self._path.open("rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise ConfigError(f"{self._name} is in UTF-16; save it as UTF-8") from None
        with self._path.open(encoding="latin-1", newline="") as text:
            reader = csv.reader(text, delimiter=getattr(self, "_separator", ","))
            header: list[str] = []
            for row in reader:
                for at, field in enumerate(row):
                    if (byte := _first_foreign(field)) is not None:
                        names = header or row
                        column = repr(names[at]) if at < len(names) else f"number {at + 1}"
                        raise ConfigError(
                            f"{self._name} is not in UTF-8: line {reader.line_num}, column {column} has the byte"
                            f" 0x{byte:02X}, which is {bytes([byte]).decode('cp1252', 'replace')!r} in Latin-1"
                            " (Windows-1252); save it as UTF-8"
                        ) from None
                header = header or row
        raise ConfigError(f"{self._name} is not in UTF-8; save it as UTF-8") from None


def _header(text: str) -> tuple[str, list[str]]:
    found: dict[str, list[str]] = {}
    for separator in SEPARATORS:
        row = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
        found[separator] = [name.strip() for name in row]
        if "id" in found[separator]:
            return separator, found[separator]
    return max(found.items(), key=lambda one: len(one[1]))


def _first_foreign(field: str) -> int | None:
    """Return the first byte of `field`, which was read as Latin-1, that UTF-8 doesn't allow there, or None."""
    if field.isascii():
        return None
    try:
        field.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError as error:
        return ord(field[error.start])
    return None
