"""What some work takes: unknown stays unknown, the expected lies between the bounds, and parts add up."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.planning.estimate import Amount, Rates, estimate, rate_of, seconds_for, total
from pinery.prices import Prices
from pinery.reports import Estimate, Range, estimate_lines

COUNT = st.integers(0, 2_000_000)
RATE = st.builds(lambda rates: Range(*sorted(rates)), st.lists(st.floats(0.1, 1e5), min_size=3, max_size=3)) | st.none()


@st.composite
def amounts(draw: st.DrawFn) -> Amount:
    rows, deleted, stored = draw(COUNT), draw(COUNT), draw(COUNT)
    text = [draw(st.integers(0, 500)) for _ in range(3)]
    overwritten = draw(st.integers(0, rows))
    return Amount(draw(COUNT), rows, overwritten, deleted, rows * text[0], rows * text[1], stored, stored * text[2])


def took(amount: Amount, rates: Rates, prices: Prices | None = None, dimension: int | None = 512) -> Estimate:
    return estimate(amount, dimension, rates, prices, load="upsert", importable=False)


@given(amounts(), RATE, RATE, st.integers(1, 4096))
def test_each_range_is_in_order_and_what_is_not_known_is_none_and_never_zero(
    amount: Amount, images: Range | None, rows: Range | None, dimension: int
) -> None:
    told = took(amount, Rates("here", images, rows), Prices(), dimension)
    for span in (told.embed_seconds, told.load_seconds, told.seconds, told.dollars):
        assert span is None or 0 <= span.low <= span.expected <= span.high
    assert (told.embed_seconds is None) == (images is None and amount.images > 0)
    assert (told.load_seconds is None) == (rows is None and amount.rows > 0)
    assert (told.seconds is None) == (told.embed_seconds is None or told.load_seconds is None)
    if told.seconds is not None and amount.images:
        assert told.seconds.low > 0
    assert told.write_units is not None
    assert (told.write_units > 0) == bool(amount.rows or amount.deleted)
    assert told.dollars is not None
    assert told.dollars.expected == pytest.approx(told.write_units * 4e-6)


@given(st.lists(amounts(), min_size=1, max_size=4))
def test_the_work_of_several_targets_is_their_sum(each: list[Amount]) -> None:
    rates = Rates("here", Range(1, 2, 4), Range(10, 10, 10))
    told = [took(amount, rates, Prices()) for amount in each]
    whole = total(told)
    assert whole.images == sum(one.images for one in each)
    assert whole.write_units == sum(one.write_units or 0 for one in told)
    assert whole.seconds is not None
    assert whole.seconds.high == pytest.approx(sum(one.seconds.high for one in told if one.seconds))
    unknown = replace(told[0], seconds=None, dollars=None, bytes=None)
    assert [(one.seconds, one.dollars, one.bytes) for one in (total([*told, unknown]), total([unknown, *told]))] == [
        (None, None, None)
    ] * 2


def test_a_rate_is_that_of_runs_of_one_size_where_there_are_any() -> None:
    samples = [(10, 3.0), (1000, 100.0), (2000, 140.0), (3000, 120.0), (0, 9.0), (900, 0.0)]
    assert rate_of(samples, 1500) == (Range(100.0, 120.0, 140.0), 3)
    assert rate_of(samples, 5) == (Range(3.0, 3.0, 3.0), 1)
    assert rate_of(samples, 1_000_000) == (Range(3.0, 110.0, 140.0), 4)
    assert rate_of([], 5) == rate_of([(0, 5.0)], 5) == (None, 0)
    assert seconds_for(240, Range(100.0, 120.0, 240.0)) == Range(1.0, 2.0, 2.4)


def test_the_units_of_an_upsert_follow_the_published_formula() -> None:
    fresh = Amount(0, 100, 0, 0, 4000, 10_000, 100, 14_000)
    assert took(fresh, Rates("here"), Prices()).write_units == 219
    assert took(replace(fresh, overwritten=100), Rates("here"), Prices()).write_units == 219 + 219
    assert took(replace(fresh, rows=0, deleted=100), Rates("here"), Prices()).write_units == 219


def test_an_index_without_prices_costs_nothing_and_a_price_that_is_not_known_is_unknown() -> None:
    amount = Amount.assumed(100, 100)
    free = took(amount, Rates("here"))
    assert (free.write_units, free.dollars, free.storage_dollars) == (0, Range(0, 0, 0), 0)
    unknown = took(amount, Rates("here"), Prices(write_units=None))
    assert (unknown.write_units, unknown.dollars) == (219, None)
    unresolved = took(amount, Rates("here"), Prices(), None)
    assert (unresolved.write_units, unresolved.dollars, unresolved.bytes) == (None, None, None)


def test_an_import_costs_by_the_gigabyte_and_no_write_units() -> None:
    amount = Amount.assumed(0, 1_000_000)
    told = estimate(amount, 512, Rates("here"), Prices(), load="import", importable=True)
    assert (told.write_units, told.load_seconds, told.seconds) == (0, None, None)
    assert told.dollars is not None
    assert told.dollars.expected == told.import_dollars == pytest.approx(0.547)
    assert told.upsert_dollars == pytest.approx(8.76)
    assert "$8.76 by upserts, $0.55 by bulk import" in estimate_lines(told)[2]


def test_what_is_not_known_is_said_and_nothing_is_said_of_nothing() -> None:
    lines = estimate_lines(took(Amount.assumed(12, 12), Rates("2 cores (x86_64)"), Prices(write_units=None)))
    assert lines[0] == (
        "embedding 12 images: time unknown, images/s unknown: no run with this model is reported from this kind of"
        " machine (2 cores (x86_64))"
    )
    assert lines[1:4] == [
        "writing 12 rows of 26.3 KB together: time unknown",
        "in all time unknown",
        "cost unknown, 27 write units, at prices of the config",
    ]
    assert estimate_lines(took(Amount.assumed(0, 0), Rates("here"))) == []


def test_figures_that_are_known_are_told_with_their_spread_and_source() -> None:
    rates = Rates("2 cores (x86_64)", Range(100, 120, 125), Range(1000, 2000, 4000), 3)
    lines = estimate_lines(took(Amount.assumed(60_000, 60_000), rates, Prices()))
    assert lines == [
        "embedding 60,000 images: 8.3 min (8.0 to 10.0) at 120 (100 to 125) images/s (3 runs on 2 cores (x86_64))",
        "writing 60,000 rows of 131 MB together: 30.0 s (15.0 to 60.0)",
        "in all 8.3 min (8.0 to 11.0)",
        "cost $0.53 ($0.52 to $1.05), 131,400 write units, at prices of 2026-11-04",
        "storage 131 MB, $0.04 a month",
    ]
