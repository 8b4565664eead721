"""How rows are packed into upsert requests: by encoded bytes as well as by count.

Pinecone takes 1,000 rows and 2 MB of JSON per request, whichever comes first. The shortest text that gives a float32
back, `-0.03123457,`, has 12.4 bytes per value in vectors of 1,000 values scaled to length 1, so such a row has about
12 KB and 159 of them fill a request (Pinecone's SDK prints doubles: 21.2 bytes and 93 rows). `values_bytes` bounds it
from the values themselves; without it the estimate is typical.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

Sizes = NDArray[np.int64]

TYPICAL_VALUE_BYTES = 12.4
"""Encoded bytes of one float32 value and its comma, in vectors of about 1,000 values scaled to length 1."""
ROW_BYTES = 33
"""`{"id":"","values":[],"metadata":},`"""
ENVELOPE_BYTES = 560
"""`{"vectors":[],"namespace":""}` and a namespace of at most 512 characters."""
STRUCT_GROWTH = 4
"""Metadata as a protobuf Struct is at most so many times its JSON: `"":1,` takes 5 bytes there and 15 here."""

_ESCAPED = '[\x00-\x1f"\\\\]'
_LONGEST_ESCAPE = 6


def pack(
    id_bytes: ArrayLike,
    metadata_bytes: ArrayLike,
    dimension: int,
    max_rows: int,
    max_bytes: int,
    value_bytes: ArrayLike | None = None,
) -> list[tuple[int, int]]:
    """Slices (start, stop) over n rows, in order and without gaps, each within both limits.

    `id_bytes`, `metadata_bytes` and `value_bytes` have shape (n,): encoded bytes per row. Without `value_bytes` each
    value of the `dimension` is taken for `TYPICAL_VALUE_BYTES`. A row that alone exceeds `max_bytes` is a slice alone.
    Raises ValueError where a limit is not positive.
    """
    if max_rows < 1 or max_bytes < 1:
        raise ValueError(f"max_rows and max_bytes must be at least 1, got {max_rows} and {max_bytes}")
    ends = np.cumsum(encoded_bytes(id_bytes, metadata_bytes, dimension, value_bytes))
    budget, rows = max_bytes - ENVELOPE_BYTES, len(ends)
    slices, start, used = [], 0, 0
    while start < rows:
        fitting = int(np.searchsorted(ends, used + budget, side="right"))
        stop = min(max(fitting, start + 1), start + max_rows, rows)
        slices.append((start, stop))
        start, used = stop, int(ends[stop - 1])
    return slices


def pack_rows(
    rows: pa.RecordBatch, max_rows: int, max_bytes: int, value_bytes: int | None = None
) -> list[tuple[int, int]]:
    """`pack` over rows with the columns id, values and metadata; no slice's encoding exceeds `max_bytes`.

    `value_bytes` is what one value takes where all take the same; without it, values are printed as JSON. All rows must
    have vectors of one length, without nulls. Raises ValueError otherwise.
    """
    count = rows.num_rows
    if count == 0:
        return []
    ids, values, metadata = (_column(rows, name) for name in ("id", "values", "metadata"))
    flat = values.flatten().to_numpy(zero_copy_only=False)
    if flat.size % count:
        raise ValueError(f"{flat.size} values don't make {count} vectors of one length")
    matrix = flat.reshape(count, -1)
    id_size, metadata_size, width = text_bytes(ids), _utf8_bytes(metadata), matrix.shape[1]
    if value_bytes is None:
        return pack(id_size, metadata_size, width, max_rows, max_bytes, values_bytes(matrix))
    fixed = np.full(count, width * value_bytes)
    return pack(id_size, STRUCT_GROWTH * metadata_size, width, max_rows, max_bytes, fixed)


def encoded_bytes(
    id_bytes: ArrayLike, metadata_bytes: ArrayLike, dimension: int, value_bytes: ArrayLike | None = None
) -> Sizes:
    """Encoded bytes per row, shape (n,), of rows of `dimension` values; arguments as for `pack`."""
    typical = np.int64(np.ceil(TYPICAL_VALUE_BYTES * dimension))
    values = typical if value_bytes is None else np.asarray(value_bytes, np.int64)
    texts: Sizes = np.asarray(id_bytes, np.int64) + np.asarray(metadata_bytes, np.int64)
    return texts + values + ROW_BYTES


def values_bytes(values: NDArray[np.float32]) -> Sizes:
    """At most this many encoded bytes per row, shape (n,), for `values` of shape (n, dimension), all finite."""
    size = np.abs(values)
    # A float32 has up to 9 digits, a point and a comma. Below 1 each leading zero is one more character, until 1e-6,
    # where the exponent form begins; from 1e8 there are more of them before the point, from 1e13 an exponent.
    zeros = sum(np.count_nonzero(size < bound, axis=1) for bound in (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5))
    small = np.count_nonzero(size < 1e-6, axis=1)
    large = np.count_nonzero(size >= 1e8, axis=1)
    nought = np.count_nonzero(size == 0, axis=1)
    signs = np.count_nonzero(np.signbit(values), axis=1)
    bound = 11 * values.shape[1] + zeros - 2 * small + 5 * large - 11 * nought + signs
    return np.asarray(bound, dtype=np.int64)


def text_bytes(texts: Any) -> Sizes:
    """At most this many bytes per text as JSON, without the quotes; shape (n,). `texts` has no nulls."""
    escaped = pc.count_substring_regex(texts, _ESCAPED).to_numpy(zero_copy_only=False)
    extra: Sizes = (_LONGEST_ESCAPE - 1) * escaped.astype(np.int64)
    return _utf8_bytes(texts) + extra


def _column(rows: pa.RecordBatch, name: str) -> Any:
    return rows.column(name)


def _utf8_bytes(texts: pa.StringArray) -> Sizes:
    return np.asarray(pc.binary_length(texts).to_numpy(zero_copy_only=False), dtype=np.int64)
