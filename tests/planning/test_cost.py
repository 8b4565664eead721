"""Write units and dollars, worked out by hand from Pinecone's formula."""

import pytest

from pinery.planning.cost import overwriting_units, upsert_write_units, write_units
from pinery.planning.loading import estimate_load
from pinery.prices import Prices


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


def test_deleted_and_overwritten_rows_cost_their_size_once_more() -> None:
    assert write_units(0, 0) == overwriting_units(0, 0) == 0
    assert write_units(2, 400) == 5, "a request costs at least that"
    assert write_units(300, 300 * 1000) == 300
    assert overwriting_units(2, 1001) == 2


def test_dollars() -> None:
    prices = Prices()
    assert prices.of("write_units", 2_190_000) == pytest.approx(8.76)
    assert prices.of("storage", 3_580_000_000) == pytest.approx(1.18, abs=0.01)
    assert prices.of("imports", 0) == 0
    assert Prices(imports=None).of("imports", 1) is None


def test_prices_of_a_config_are_not_of_our_day_unless_it_says_so() -> None:
    assert Prices().date == "2026-11-04"
    assert Prices(write_units=6).date == ""
    assert Prices(write_units=6, date="2027-01-01").date == "2027-01-01"


def test_both_ways_to_load_are_told_and_a_price_that_is_not_known_is_told_as_such() -> None:
    told = str(estimate_load(1_000_000, 512, 100, Prices(imports=None)))
    assert told == (
        "1,000,000 rows: by import at least 10 min and a cost unknown, by upserts at least 1 min and about $8.76"
    )
