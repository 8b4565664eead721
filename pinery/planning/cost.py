"""The cost of writes to a serverless Pinecone index, by its published formula."""

import math

FLOAT_BYTES = 4
ID_BYTES = 40
METADATA_BYTES = 100
"""The assumed bytes of an id and of metadata, where nobody counted them."""
REQUEST_ROWS = 100
LEAST_UNITS = 5
UNIT_BYTES = 1000


def upsert_write_units(rows: int, dimension: int, metadata_bytes: int) -> int:
    """Return the write units for upserting `rows` new vectors of `dimension`, with so many bytes of metadata each.

    A request costs one unit per KB (1000 bytes), and at least 5 units; see docs.pinecone.io, "Understanding cost".
    """
    return write_units(rows, rows * (FLOAT_BYTES * dimension + ID_BYTES + metadata_bytes))


def write_units(rows: int, size: int) -> int:
    """Return the write units for writing or deleting `rows` that have `size` bytes together, evenly spread."""
    if not rows:
        return 0
    full, rest = divmod(rows, REQUEST_ROWS)
    units = full * max(LEAST_UNITS, _units(size * REQUEST_ROWS, rows))
    return units + (max(LEAST_UNITS, _units(size * rest, rows)) if rest else 0)


def overwriting_units(rows: int, size: int) -> int:
    """Return the write units that come on top where `rows` that are upserted, of `size` bytes, are there already."""
    return math.ceil(size / UNIT_BYTES) if rows else 0


def _units(size: int, rows: int) -> int:
    return -(-size // (rows * UNIT_BYTES))
