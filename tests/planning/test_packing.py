"""Packing: slices cover all rows in order, within both limits."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pinery.planning.packing import pack

sizes = st.lists(st.integers(0, 3000), min_size=0, max_size=60).map(lambda values: np.array(values, dtype=np.int64))


@given(sizes, st.integers(1, 20), st.integers(1, 20_000))
def test_slices_cover_all_rows_in_order_and_within_the_limits(
    row_bytes: NDArray[np.int64], max_rows: int, max_bytes: int
) -> None:
    slices = pack(row_bytes, max_rows, max_bytes)
    edges = [0, *(stop for _, stop in slices)]
    assert slices == list(pairwise(edges))
    assert edges[-1] == len(row_bytes)
    for start, stop in slices:
        assert 1 <= stop - start <= max_rows
        assert stop - start == 1 or row_bytes[start:stop].sum() <= max_bytes
        full = stop == len(row_bytes) or stop - start == max_rows
        assert full or row_bytes[start : stop + 1].sum() > max_bytes


@pytest.mark.parametrize(("max_rows", "max_bytes"), [(0, 100), (100, 0)])
def test_limits_must_be_positive(max_rows: int, max_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pack(np.zeros(1, np.int64), max_rows, max_bytes)
