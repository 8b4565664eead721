"""Upper bounds on the bytes that the rows of an upsert request take once they are encoded, as JSON or protobuf.

Pinecone takes 1,000 rows and 2 MB of JSON in one request, whichever is reached first. The shortest text that gives a
float32 back, such as `-0.03123457,`, takes 12.4 bytes per value in vectors of 1,000 values that are scaled to length 1.
Such a row takes about 12 KB, and about 160 of them fill a request. Pinecone's SDK prints doubles instead, which take
21.2 bytes, so that only 93 rows fit.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Sizes = NDArray[np.int64]

ROW_BYTES = 33
"""The bytes of `{"id":"","values":[],"metadata":},`, which each row adds to its own values."""
ENVELOPE_BYTES = 560
"""The bytes of `{"vectors":[],"namespace":""}` and of a namespace of at most 512 characters."""
FLOAT_BYTES = 4
STRUCT_GROWTH = 4
"""A protobuf Struct takes at most this many times the bytes of its JSON: `"":1,` takes 5 as JSON and 15 as a Struct."""

_ESCAPED = '[\x00-\x1f"\\\\]'
_LONGEST_ESCAPE = 6


def json_sizes(rows: pa.RecordBatch) -> Sizes:
    """Return an upper bound on the bytes of each row as JSON: shape (rows,), int64.

    `rows` has ROWS_SCHEMA, and its values are finite. Raises ValueError where its vectors differ in length.
    """
    values = _matrix(rows)
    return text_bytes(rows.column("id")) + _utf8_bytes(rows.column("metadata")) + values_bytes(values) + ROW_BYTES


def protobuf_sizes(rows: pa.RecordBatch) -> Sizes:
    """Return an upper bound on the bytes of each row as protobuf: shape (rows,), int64.

    `rows` has ROWS_SCHEMA. Raises ValueError where its vectors differ in length.
    """
    values = FLOAT_BYTES * _matrix(rows).shape[1]
    sizes: Sizes = text_bytes(rows.column("id")) + STRUCT_GROWTH * _utf8_bytes(rows.column("metadata"))
    return np.asarray(sizes + values + ROW_BYTES, dtype=np.int64)


def values_bytes(values: NDArray[np.float32]) -> Sizes:
    """Return an upper bound on the bytes of each row's values as JSON, with their commas: shape (rows,), int64.

    `values` has shape (rows, dimension), float32, and all of it is finite.
    """
    size = np.abs(values)
    # A float32 has up to 9 digits, a point and a comma. Below 1 each leading zero adds a character, down to 1e-6, where
    # the exponent form begins. From 1e8 on there are more digits before the point, and from 1e13 on an exponent.
    zeros = sum(np.count_nonzero(size < bound, axis=1) for bound in (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5))
    small = np.count_nonzero(size < 1e-6, axis=1)
    large = np.count_nonzero(size >= 1e8, axis=1)
    nought = np.count_nonzero(size == 0, axis=1)
    signs = np.count_nonzero(np.signbit(values), axis=1)
    bound = 11 * values.shape[1] + zeros - 2 * small + 5 * large - 11 * nought + signs
    return np.asarray(bound, dtype=np.int64)


def text_bytes(texts: Any) -> Sizes:
    """Return an upper bound on the bytes of each text as JSON, without its quotes: shape (n,), int64.

    `texts` is an Arrow array of strings, shape (n,), without nulls.
    """
    escaped = pc.count_substring_regex(texts, _ESCAPED).to_numpy(zero_copy_only=False)
    extra: Sizes = (_LONGEST_ESCAPE - 1) * escaped.astype(np.int64)
    return _utf8_bytes(texts) + extra


def _utf8_bytes(texts: Any) -> Sizes:
    return np.asarray(pc.binary_length(texts).to_numpy(zero_copy_only=False), dtype=np.int64)


def _matrix(rows: pa.RecordBatch) -> NDArray[np.float32]:
    """Return the values of rows: shape (rows, dimension), float32."""
    column: Any = rows.column("values")
    flat: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False)
    if rows.num_rows == 0:
        return flat.reshape(0, 0)
    if flat.size % rows.num_rows:
        raise ValueError(f"{flat.size} values don't make {rows.num_rows} vectors of one length")
    return flat.reshape(rows.num_rows, -1)
