"""What some work for an index takes: pure arithmetic over counts, the rates of earlier runs, and prices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

from pinery.planning.cost import FLOAT_BYTES, ID_BYTES, METADATA_BYTES, overwriting_units, write_units
from pinery.planning.loading import Load
from pinery.prices import Prices
from pinery.reports.estimate import NOTHING, Estimate, Range

Number = TypeVar("Number", int, float)

ALIKE = 10
"""Runs that did up to so many times as much, or as little, are of one size: a small run is slow for it has to start."""


@dataclass(frozen=True, slots=True)
class Amount:
    """The work for one target, and what its index holds once it is done; bytes are those of all rows together."""

    images: int
    """The images to embed."""
    rows: int
    """The rows to send to the index, with those that are embedded first."""
    overwritten: int
    """Those of them that the index holds, or may hold, already."""
    deleted: int
    id_bytes: int
    metadata_bytes: int
    stored: int
    """The rows that the index holds in the end."""
    stored_bytes: int
    """The bytes of their ids and metadata."""

    @classmethod
    def assumed(cls, images: int, rows: int) -> Amount:
        """Return the amount for new rows of which only the number is known; METADATA_BYTES are assumed for each."""
        text = rows * (ID_BYTES + METADATA_BYTES)
        return cls(images, rows, 0, 0, rows * ID_BYTES, rows * METADATA_BYTES, rows, text)


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of the last runs on one kind of machine; None where none is known."""

    machine: str
    images: Range | None = None
    """Images embedded in a second."""
    rows: Range | None = None
    """Rows upserted in a second."""
    runs: int = 0
    """The number of runs that the rate of images is from."""


def rate_of(samples: Sequence[tuple[int, float]], amount: int) -> tuple[Range | None, int]:
    """Return the least, the median and the highest rate of `samples`, and of how many; None where there are none.

    A sample is how much a run did, and its rate. Runs that did up to ten times as much or as little as `amount` count,
    and all runs where there is none of that size.
    """
    known = [(done, rate) for done, rate in samples if done > 0 and rate > 0]
    alike = [rate for done, rate in known if max(done, amount) <= ALIKE * min(done, amount)]
    rates = alike or [rate for _, rate in known]
    return (Range(min(rates), median(rates), max(rates)), len(rates)) if rates else (None, 0)


def estimate(
    amount: Amount, dimension: int | None, rates: Rates, prices: Prices | None, *, load: Load, importable: bool
) -> Estimate:
    """Return what the work takes for vectors of `dimension` (None while the model is not resolved).

    `prices` is None for an index that costs nothing; `importable` says whether a bulk import is possible.
    """
    embedding = seconds_for(amount.images, rates.images)
    loading = None if load == "import" else seconds_for(amount.rows, rates.rows)
    sizes = None if dimension is None else _sizes(amount, dimension)
    found = Estimate(
        images=amount.images,
        images_per_second=rates.images,
        runs=rates.runs,
        machine=rates.machine,
        embed_seconds=embedding,
        load_seconds=loading,
        seconds=_side_by_side(embedding, loading),
        rows=amount.rows,
        bytes=None if sizes is None else int(sizes.expected),
        load=load,
        write_units=0,
        dollars=NOTHING,
        upsert_dollars=0.0,
        import_dollars=None,
        storage_bytes=None if dimension is None else amount.stored * FLOAT_BYTES * dimension + amount.stored_bytes,
        storage_dollars=0.0,
        prices="",
    )
    return found if prices is None else _priced(found, amount, dimension, sizes, prices, importable)


def total(estimates: Iterable[Estimate]) -> Estimate:
    """Return what the work for several targets takes, one after the other. Raises ValueError where there is none."""
    first, *others = estimates
    for other in others:
        first = _together(first, other)
    return first


def _together(one: Estimate, other: Estimate) -> Estimate:
    """Return what both take; rate and way are those of the first that has something to do."""
    embeds, writes = (
        (one, other)[not one.images and bool(other.images)],
        (one, other)[not one.rows and bool(other.rows)],
    )
    return replace(
        one,
        images=one.images + other.images,
        images_per_second=embeds.images_per_second,
        runs=embeds.runs,
        embed_seconds=_both(one.embed_seconds, other.embed_seconds),
        load_seconds=_both(one.load_seconds, other.load_seconds),
        seconds=_both(one.seconds, other.seconds),
        rows=one.rows + other.rows,
        bytes=_sum(one.bytes, other.bytes),
        load=writes.load,
        write_units=_sum(one.write_units, other.write_units),
        dollars=_both(one.dollars, other.dollars),
        upsert_dollars=_sum(one.upsert_dollars, other.upsert_dollars),
        import_dollars=None,
        storage_bytes=_sum(one.storage_bytes, other.storage_bytes),
        storage_dollars=_sum(one.storage_dollars, other.storage_dollars),
    )


def seconds_for(amount: int, rate: Range | None) -> Range | None:
    """Return the seconds that so much takes; nothing takes none, whatever the rate, and None is unknown."""
    if not amount:
        return NOTHING
    return None if rate is None else Range(amount / rate.high, amount / rate.expected, amount / rate.low)


def _sizes(amount: Amount, dimension: int) -> Range:
    """Return the bytes to send: at least vectors and metadata; ids count too, as expected and at most."""
    least = amount.rows * FLOAT_BYTES * dimension + amount.metadata_bytes
    return Range(least, least + amount.id_bytes, least + amount.id_bytes)


def _priced(
    found: Estimate, amount: Amount, dimension: int | None, sizes: Range | None, prices: Prices, importable: bool
) -> Estimate:
    if sizes is None or dimension is None:
        return replace(
            found, write_units=None, dollars=None, upsert_dollars=None, storage_dollars=None, prices=prices.date
        )
    units = _write_units(amount, dimension, sizes)
    upserts = _dollars("write_units", units, prices)
    imports = _dollars("imports", sizes, prices) if importable else None
    imported = found.load == "import"
    return replace(
        found,
        write_units=0 if imported else int(units.expected),
        dollars=imports if imported else upserts,
        upsert_dollars=upserts.expected if upserts else None,
        import_dollars=imports.expected if imports else None,
        storage_dollars=prices.of("storage", found.storage_bytes or 0),
        prices=prices.date,
    )


def _write_units(amount: Amount, dimension: int, sizes: Range) -> Range:
    """Return the write units of the upserts and deletes.

    Expected: what is overwritten costs its size once more, and a delete that of a row. At least: nothing costs more
    than what is sent. At most: each row is overwritten, as where requests had to be repeated.
    """
    each = sizes.expected / amount.rows if amount.rows else 0.0
    deletes = write_units(amount.deleted, round(amount.deleted * _deleted_bytes(amount, dimension)))
    upserts = write_units(amount.rows, int(sizes.expected))
    return Range(
        write_units(amount.rows, int(sizes.low)) + deletes,
        upserts + overwriting_units(amount.overwritten, round(amount.overwritten * each)) + deletes,
        upserts + overwriting_units(amount.rows, int(sizes.high)) + deletes,
    )


def _deleted_bytes(amount: Amount, dimension: int) -> float:
    """Return the bytes of a deleted row, which nobody knows any more: as those of the rows that stay."""
    text = amount.stored_bytes / amount.stored if amount.stored else ID_BYTES + METADATA_BYTES
    return FLOAT_BYTES * dimension + text


def _dollars(price: str, amounts: Range, prices: Prices) -> Range | None:
    found = [prices.of(price, amount) for amount in (amounts.low, amounts.expected, amounts.high)]
    low, expected, high = (0.0 if one is None else one for one in found)
    return None if None in found else Range(low, expected, high)


def _side_by_side(one: Range | None, other: Range | None) -> Range | None:
    """Return the time of two that go on side by side: at most, one begins when the other has ended."""
    if one is None or other is None:
        return None
    return Range(max(one.low, other.low), max(one.expected, other.expected), one.high + other.high)


def _both(one: Range | None, other: Range | None) -> Range | None:
    return None if one is None or other is None else one + other


def _sum(one: Number | None, other: Number | None) -> Number | None:
    return None if one is None or other is None else one + other
