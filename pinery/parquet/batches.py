"""Makes record batches of Python values.

PyArrow's own way imports pandas first, and that takes as long as all else that a plan with nothing to do needs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def batch_of(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch of columns of one length, whose types in `schema` are string or int64; texts may be None.

    Raises UnicodeEncodeError for a text that is not valid Unicode.
    """
    arrays = [
        _numbers(columns[field.name]) if field.type == pa.int64() else _texts(columns[field.name]) for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _numbers(values: Sequence[int]) -> Any:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, _buffer(np.array(values, np.int64))])


def _texts(values: Sequence[str | None]) -> Any:
    texts = [b"" if value is None else value.encode() for value in values]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=offsets[1:])
    valid = np.packbits(np.fromiter((value is not None for value in values), bool, len(texts)), bitorder="little")
    buffers: list[pa.Buffer | None] = [_buffer(valid), _buffer(offsets), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def _buffer(values: NDArray[Any]) -> pa.Buffer:
    return pa.py_buffer(values.data)
