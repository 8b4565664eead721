"""A table of metadata beside the images: CSV or Parquet, one row per item, joined by its `id` column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from pinery.errors import ConfigError

# Empty fields and what pandas and databases write for "no value"; `NA` stays, it is a country code too.
_NULLS = ["", "NaN", "nan", "NULL", "null"]


class Sidecar:
    """Metadata by item id, from a CSV or Parquet file."""

    def __init__(self, path: str | Path) -> None:
        """Raises ConfigError where the file can't be read, has no `id` column, or a null or twice the same id."""
        table = _read(Path(path))
        if "id" not in table.column_names:
            raise ConfigError(f"sidecar {path} has no column `id`; it has: {', '.join(table.column_names)}")
        ids = table["id"].cast(pa.string()).to_pylist()
        self._columns = {name: table[name].combine_chunks() for name in table.column_names if name != "id"}
        self._row: dict[str, int] = {}
        for row, id in enumerate(ids):
            if id is None:
                raise ConfigError(f"sidecar {path} has a row without an id: row {row + 1} after the header")
            if self._row.setdefault(id, row) != row:
                raise ConfigError(f"sidecar {path} has the id {id!r} more than once")

    def get(self, id: str) -> dict[str, Any]:
        """The metadata of one item; nothing for an id that the file doesn't have."""
        row = self._row.get(id)
        return {} if row is None else {name: column[row].as_py() for name, column in self._columns.items()}


def _read(path: Path) -> pa.Table:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise ConfigError(f"sidecar {path} is neither a .csv nor a .parquet file")
    try:
        return _read_csv(path) if suffix == ".csv" else _read_parquet(path)
    except FileNotFoundError:
        raise ConfigError(f"sidecar {path} does not exist; correct `source.sidecar`") from None
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"sidecar {path} can't be read: {error}") from None


def _read_csv(path: Path) -> pa.Table:
    from pyarrow import csv

    def read(types: dict[str, pa.DataType]) -> pa.Table:
        options = csv.ConvertOptions(column_types=types, null_values=_NULLS, strings_can_be_null=True)
        return csv.read_csv(path, convert_options=options)

    texts: dict[str, pa.DataType] = {"id": pa.string()}
    table = read(texts)
    times = {field.name: pa.string() for field in table.schema if pa.types.is_temporal(field.type)}
    # Dates and times stay as they are written.
    return read(texts | times) if times else table


def _read_parquet(path: Path) -> pa.Table:
    from pyarrow import parquet

    return parquet.read_table(path)
