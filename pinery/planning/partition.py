"""Cuts the work into parts."""

PART_BYTES = 256 << 20


def part_rows(wanted: int, dimension: int) -> int:
    """Return the rows of a part: `wanted`, or fewer where float32 vectors of `dimension` would pass 256 MiB."""
    return max(1, min(wanted, PART_BYTES // (4 * dimension)))


def ranges(rows: int, size: int) -> list[tuple[int, int]]:
    """Return consecutive (start, stop) ranges of at most `size` rows that cover `rows` rows."""
    return [(start, min(start + size, rows)) for start in range(0, rows, size)]
