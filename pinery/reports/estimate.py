"""The time and money that some work would take, as figures and in words."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE, HOUR = 60, 3600
MEGABYTE, GIGABYTE = 1e6, 1e9
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Range:
    """A figure that is not known exactly: the least, the expected and the most that it may be."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Range) -> Range:
        """Return the range of the sum."""
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)


NOTHING = Range(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The time and money that some work for an index, or for several, would take; None where a rate is not known."""

    images: int
    """The images to embed."""
    images_per_second: Range | None
    """The rate of the last runs with this model on this kind of machine; None where no report has one."""
    runs: int
    """The number of reports that the rates come from."""
    machine: str
    """The kind of this machine."""
    embed_seconds: Range | None
    load_seconds: Range | None
    seconds: Range | None
    """The time of both, which go on side by side."""
    rows: int
    """The rows to send to the index."""
    bytes: int | None
    """The bytes of these rows; None where the model's dimension is not known yet, as for all that comes from it."""
    load: str
    """The way to the index: `upsert`, or `import`."""
    write_units: int | None
    """The write units of Pinecone; 0 for an index or a way that has none."""
    dollars: Range | None
    """The cost of the writes, the way that the run would go."""
    upsert_dollars: float | None
    import_dollars: float | None
    """The cost of either way; None for an import where none is possible."""
    storage_bytes: int | None
    storage_dollars: float | None
    """The bytes of all rows that the index holds in the end, and their cost a month."""
    prices: str
    """The day of the prices; empty where the config has prices without a day, or nothing has a price."""


def estimate_lines(estimate: Estimate) -> list[str]:
    """Return what the work takes in words, a line for each of time, rows, cost and storage; nothing where none is."""
    lines = [_embedding(estimate)] if estimate.images else []
    if estimate.rows:
        lines.append(
            f"writing {counted(estimate.rows, 'row')}{_of(estimate.bytes)}: {_duration(estimate.load_seconds)}"
        )
    if estimate.images or estimate.rows:
        lines.append(f"in all {_duration(estimate.seconds)}")
    if estimate.write_units != 0 or estimate.load == "import" or estimate.dollars is None:
        lines.append(_cost(estimate))
    if estimate.storage_dollars:
        lines.append(f"storage {size(estimate.storage_bytes)}, {_dollars(estimate.storage_dollars)} a month")
    return lines


def size(number: int | None) -> str:
    """Return a number of bytes in words."""
    if number is None:
        return f"{UNKNOWN} bytes"
    if number < MEGABYTE:
        return f"{number / 1e3:,.1f} KB" if number >= 1000 else f"{number} bytes"
    return f"{number / MEGABYTE:,.0f} MB" if number < GIGABYTE else f"{number / GIGABYTE:,.1f} GB"


def _embedding(estimate: Estimate) -> str:
    rate, images = estimate.images_per_second, counted(estimate.images, "image")
    if rate is None:
        why = f"no run with this model is reported from this kind of machine ({estimate.machine})"
        return f"embedding {images}: time {UNKNOWN}, images/s {UNKNOWN}: {why}"
    time = f"{_duration(estimate.embed_seconds)} at {_spread(rate)} images/s"
    return f"embedding {images}: {time} ({counted(estimate.runs, 'run')} on {estimate.machine})"


def _cost(estimate: Estimate) -> str:
    cost = estimate.dollars
    told = f"cost {UNKNOWN}" if cost is None else f"cost {_dollars(cost.expected)}"
    if cost is not None and cost.low != cost.high:
        told += f" ({_dollars(cost.low)} to {_dollars(cost.high)})"
    if estimate.load == "upsert":
        told += f", {UNKNOWN if estimate.write_units is None else format(estimate.write_units, ',')} write units"
    if estimate.import_dollars is not None and estimate.upsert_dollars is not None:
        told += f"; {_dollars(estimate.upsert_dollars)} by upserts, {_dollars(estimate.import_dollars)} by bulk import"
    return f"{told}, at prices {f'of {estimate.prices}' if estimate.prices else 'of the config'}"


def _spread(value: Range) -> str:
    texts = [f"{one:,.0f}" if one >= 10 else f"{one:,.1f}" for one in (value.low, value.expected, value.high)]
    return texts[1] if len(set(texts)) == 1 else f"{texts[1]} ({texts[0]} to {texts[2]})"


def _duration(seconds: Range | None) -> str:
    if seconds is None:
        return f"time {UNKNOWN}"
    whole, unit = (1, "s") if seconds.expected < 2 * MINUTE else (MINUTE, "min")
    if seconds.expected >= 2 * HOUR:
        whole, unit = HOUR, "h"
    texts = [f"{one / whole:,.1f}" for one in (seconds.low, seconds.expected, seconds.high)]
    return f"{texts[1]} {unit}" if len(set(texts)) == 1 else f"{texts[1]} {unit} ({texts[0]} to {texts[2]})"


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 0.01 or not amount else f"${amount:.4f}"


def _of(number: int | None) -> str:
    return f" of {size(number)} together" if number is not None else ""


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number of things in words."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
