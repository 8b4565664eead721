"""A Parquet sidecar: its columns, and its rows one after the other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from pyarrow import types as kinds

from pinery.errors import ConfigError

ROWS_AT_ONCE = 1024
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


class ParquetTable:
    """The rows of one Parquet file, whatever the name of its folder."""

    typed = True

    def __init__(self, path: Path, name: str) -> None:
        """Read the schema; errors call the file `name`. Raises ConfigError where a column can't be metadata."""
        self._path, self._name = path, name
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
        self.columns = ["" if _PANDAS_INDEX.fullmatch(name) else name for name in schema.names]
        for column, field in zip(self.columns, schema, strict=True):
            if column and (why := _unfit(column, field.type)):
                raise ConfigError(f"{name} can't be used: column {column!r} is {field.type}; {why}")

    def rows(self) -> Iterator[tuple[str, list[Any]]]:
        """Yield each row's place, for errors, and its fields."""
        place = 0
        with parquet.ParquetFile(self._path) as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                columns = [column.to_pylist() for column in batch.columns]
                for row in zip(*columns, strict=True):
                    place += 1
                    yield f"row {place}", list(row)


def _unfit(column: str, kind: pa.DataType) -> str | None:
    kind = _plain(kind)
    if column == "id":
        allowed = kinds.is_integer(kind) or _is_text(kind)
        return None if allowed else "ids are text or whole numbers"
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        kind = _plain(kind.value_type)
    fit = _is_text(kind) or kinds.is_boolean(kind) or kinds.is_null(kind) or kinds.is_decimal(kind)
    fit = fit or kinds.is_integer(kind) or kinds.is_floating(kind)
    fit = fit or kinds.is_date(kind) or kinds.is_time(kind) or kinds.is_timestamp(kind)
    return None if fit else "an index takes text, numbers, booleans and lists of text; leave that column out"


def _plain(kind: Any) -> Any:
    return kind.value_type if kinds.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)
