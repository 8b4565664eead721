"""The ANN index of an embedded index, for more vectors than can be scanned."""

from __future__ import annotations

from typing import Any

CODE_BITS = 2
"""The bits of each value in the ANN index (RaBitQ), whose candidates are then compared by their whole vectors."""
TRAINED_ON = 32
"""The sampled vectors of each partition of the ANN index; Lance's own 256 would hold half of all in memory."""
TOO_ALIKE = "non-empty clusters"
"""The words of Lance where vectors form fewer clusters than there are to be partitions."""
FEWER = 8
"""Then there are so many times fewer partitions."""


def index_vectors(table: Any, partitions: int, dimension: int, distance: str) -> None:
    """Index the vectors of a table in so many partitions, or in fewer where too many of them are alike for that."""
    try:
        table.create_index("vector", config=_ann(partitions, dimension, distance))
    except (RuntimeError, ValueError) as error:
        if TOO_ALIKE not in str(error) or partitions == 1:
            raise
        index_vectors(table, max(1, partitions // FEWER), dimension, distance)


def _ann(partitions: int, dimension: int, distance: str) -> Any:
    from lancedb.index import IvfRq, IvfSq

    common: dict[str, Any] = {"distance_type": distance, "num_partitions": partitions, "sample_rate": TRAINED_ON}
    # RaBitQ takes the least memory to build, but only for dimensions that are a multiple of eight.
    return IvfSq(**common) if dimension % 8 else IvfRq(**common, num_bits=CODE_BITS)
