"""The check that every kind of index makes of the vectors that it is to hold."""

from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pinery.errors import RowsRefusedError


def checked_vectors(column: Any, dimension: int) -> NDArray[np.float32]:
    """Return the vectors of a column of float32 lists as one array: shape (rows, dimension), float32.

    Raises RowsRefusedError where a vector has another length, or a value that is not finite.
    """
    lengths = set(pc.list_value_length(column).to_pylist()) - {dimension}
    if lengths:
        # These are Pinecone's words. They don't name the row, because the same fault must read the same in every row.
        wrong = min(length or 0 for length in lengths)
        raise RowsRefusedError(f"Vector dimension {wrong} does not match the dimension of the index {dimension}")
    matrix: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), dimension)
    if not np.isfinite(matrix).all():
        raise RowsRefusedError("values must be finite numbers")  # JSON would turn them into null
    return matrix
