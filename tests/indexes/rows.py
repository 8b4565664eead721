"""Rows of upsert requests, and the wait until an index shows them."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pinery.errors import TransientError
from pinery.indexes.protocol import ROWS_SCHEMA, Index


def batch(ids: Sequence[str], values: Any, metadata: Sequence[Mapping[str, Any] | str] | None = None) -> pa.RecordBatch:
    """Rows of ROWS_SCHEMA; `values` has shape (ids, dimension); metadata as mappings or JSON text, `{}` by default."""
    texts = [one if isinstance(one, str) else json.dumps(one) for one in metadata or ["{}"] * len(ids)]
    columns = [list(ids), list(values), texts]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, ROWS_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=ROWS_SCHEMA)


def settle(index: Index, seconds: float) -> None:
    """Wait until reads see what was written to the index. Raises TransientError where they don't after that time."""
    end = time.monotonic() + seconds
    while behind := index.settle():
        if time.monotonic() >= end:
            raise TransientError(f"after {seconds:g} s {behind}")
        time.sleep(0.02)
