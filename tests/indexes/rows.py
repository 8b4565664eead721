"""Rows of upsert requests for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pinery.indexes.protocol import ROWS_SCHEMA


def batch(ids: Sequence[str], values: Any, metadata: Sequence[Mapping[str, Any] | str] | None = None) -> pa.RecordBatch:
    """Rows of ROWS_SCHEMA; `values` has shape (ids, dimension); metadata as mappings or JSON text, `{}` by default."""
    texts = [one if isinstance(one, str) else json.dumps(one) for one in metadata or ["{}"] * len(ids)]
    columns = [list(ids), list(values), texts]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, ROWS_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=ROWS_SCHEMA)
