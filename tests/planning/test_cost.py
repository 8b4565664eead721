"""Write units and dollars, worked out by hand from Pinecone's formula."""

import pytest

from pinery.planning.cost import upsert_write_units, write_unit_dollars


@pytest.mark.parametrize(
    ("rows", "dimension", "metadata", "units"),
    [
        (0, 512, 100, 0),
        (1, 512, 100, 5),  # 2.188 KB, and a request costs at least 5
        (2, 1536, 0, 13),  # 2 x 6.184 KB = 12.368 KB
        (100, 512, 100, 219),  # 100 x 2.188 KB = 218.8 KB
        (200, 512, 100, 438),
        (201, 512, 100, 443),  # two full requests and one row
        (1_000_000, 512, 100, 2_190_000),
    ],
)
def test_write_units(rows: int, dimension: int, metadata: int, units: int) -> None:
    assert upsert_write_units(rows, dimension, metadata) == units


def test_dollars() -> None:
    assert write_unit_dollars(0) == 0
    assert write_unit_dollars(2_190_000) == pytest.approx(8.76)
