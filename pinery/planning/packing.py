"""Packs rows into requests, by their bytes as well as by their number."""

import numpy as np
from numpy.typing import NDArray


def pack(row_bytes: NDArray[np.int64], max_rows: int, max_bytes: int) -> list[tuple[int, int]]:
    """Return slices (start, stop) over n rows, in order and without gaps, each within both limits.

    `row_bytes` is how many bytes each row takes: shape (n,), int64. A row that exceeds `max_bytes` by itself gets a
    slice of its own. Raises ValueError where a limit is below 1.
    """
    if max_rows < 1 or max_bytes < 1:
        raise ValueError(f"max_rows and max_bytes must be at least 1, got {max_rows} and {max_bytes}")
    ends, rows = np.cumsum(row_bytes), len(row_bytes)
    slices, start, used = [], 0, 0
    while start < rows:
        fitting = int(np.searchsorted(ends, used + max_bytes, side="right"))
        stop = min(max(fitting, start + 1), start + max_rows, rows)
        slices.append((start, stop))
        start, used = stop, int(ends[stop - 1])
    return slices
