"""Work is cut into parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.planning.partition import PART_BYTES, part_rows, ranges


@pytest.mark.parametrize(
    ("rows", "size", "expected"),
    [
        (0, 3, []),
        (1, 3, [(0, 1)]),
        (3, 3, [(0, 3)]),
        (4, 3, [(0, 3), (3, 4)]),
        (6, 3, [(0, 3), (3, 6)]),
        (2, 1, [(0, 1), (1, 2)]),
    ],
)
def test_ranges(rows: int, size: int, expected: list[tuple[int, int]]) -> None:
    assert ranges(rows, size) == expected


@given(st.integers(0, 500), st.integers(1, 600))
def test_ranges_cover_each_row_once_and_none_is_too_long(rows: int, size: int) -> None:
    spans = ranges(rows, size)
    assert [row for start, stop in spans for row in range(start, stop)] == list(range(rows))
    assert all(stop - start <= size for start, stop in spans)


@pytest.mark.parametrize(
    ("wanted", "dimension", "expected"),
    [
        (16384, 512, 16384),
        (16384, 4096, 16384),  # just 256 MiB
        (16384, 8192, 8192),
        (1_000_000, 512, 131_072),
        (1, 100_000_000, 1),
    ],
)
def test_parts_are_bounded_in_rows_and_in_bytes(wanted: int, dimension: int, expected: int) -> None:
    rows = part_rows(wanted, dimension)
    assert rows == expected
    assert rows == 1 or rows * dimension * 4 <= PART_BYTES
