"""Decides whether a new namespace is filled by upserts or by Pinecone's bulk import; estimates what both take."""

import math
from dataclasses import dataclass
from typing import Literal

from pinery.planning.cost import FLOAT_BYTES, ID_BYTES, upsert_write_units
from pinery.prices import Prices

Load = Literal["upsert", "import"]

IMPORT_FROM_ROWS = 1_000_000
LEAST_IMPORT_SECONDS = 600
"""By docs.pinecone.io, "Import records", an import takes at least ten minutes."""
UPSERT_BYTES_PER_SECOND = 50_000_000
"""The limit of one namespace, by docs.pinecone.io, "Rate limits"."""
UPSERT_REQUEST_BYTES = 2_000_000
UPSERT_REQUESTS_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """The least time that loading some rows takes, and about what it costs; None where the price is not known."""

    rows: int
    upsert_seconds: float
    upsert_dollars: float | None
    import_seconds: float
    import_dollars: float | None

    def __str__(self) -> str:
        return (
            f"{self.rows:,} rows: by import at least {self.import_seconds / 60:.0f} min and"
            f" {_about(self.import_dollars)}, by upserts at least {self.upsert_seconds / 60:.0f} min and"
            f" {_about(self.upsert_dollars)}"
        )


def estimate_load(rows: int, dimension: int, metadata_bytes: int, prices: Prices) -> LoadEstimate:
    """Return the seconds and dollars for `rows` vectors of `dimension` with so many bytes of metadata each."""
    size = rows * (FLOAT_BYTES * dimension + ID_BYTES + metadata_bytes)
    requests = math.ceil(size / UPSERT_REQUEST_BYTES)
    return LoadEstimate(
        rows=rows,
        upsert_seconds=max(size / UPSERT_BYTES_PER_SECOND, requests / UPSERT_REQUESTS_PER_SECOND),
        upsert_dollars=prices.of("write_units", upsert_write_units(rows, dimension, metadata_bytes)),
        import_seconds=LEAST_IMPORT_SECONDS,
        import_dollars=prices.of("imports", size),
    )


def choose_load(wanted: Literal["auto", "upsert", "import"], rows: int, obstacle: str | None) -> Load:
    """Return how to load `rows`; `obstacle` says why an import is not possible, and is None if it is."""
    if wanted == "upsert" or obstacle is not None or not rows:
        return "upsert"
    return "import" if wanted == "import" or rows >= IMPORT_FROM_ROWS else "upsert"


def _about(dollars: float | None) -> str:
    return "a cost unknown" if dollars is None else f"about ${dollars:,.2f}"
