"""The cost of writes to a serverless Pinecone index, by its published formula."""

import math

FLOAT_BYTES = 4
ID_BYTES = 40
METADATA_BYTES = 100
"""The assumed bytes of metadata per row, where nobody counted them."""
REQUEST_ROWS = 100
LEAST_UNITS = 5
DOLLARS_PER_MILLION = 4.0
"""The price in AWS us-east-1 on the Standard plan, as published in 2026; enterprise plans pay more."""


def upsert_write_units(rows: int, dimension: int, metadata_bytes: int) -> int:
    """Return the write units for upserting `rows` new vectors of `dimension`, with so many bytes of metadata each.

    A request costs one unit per KB (1000 bytes), and at least 5 units; see docs.pinecone.io, "Understanding cost".
    """
    row = FLOAT_BYTES * dimension + ID_BYTES + metadata_bytes
    full, rest = divmod(rows, REQUEST_ROWS)
    units = full * max(LEAST_UNITS, math.ceil(REQUEST_ROWS * row / 1000))
    return units + (max(LEAST_UNITS, math.ceil(rest * row / 1000)) if rest else 0)


def write_unit_dollars(units: int) -> float:
    """Return the US dollars for `units` write units."""
    return units / 1e6 * DOLLARS_PER_MILLION
