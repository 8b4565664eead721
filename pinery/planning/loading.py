"""How a new namespace is filled: by upserts, or by Pinecone's bulk import; with what both take and cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pinery.planning.cost import FLOAT_BYTES, ID_BYTES, upsert_write_units, write_unit_dollars

Load = Literal["upsert", "import"]

IMPORT_FROM_ROWS = 1_000_000
IMPORT_DOLLARS_PER_GB = 1.0
"""As third parties give it in 2026; Pinecone's own pages name no price."""
LEAST_IMPORT_SECONDS = 600
"""docs.pinecone.io, "Import records": at least ten minutes."""
UPSERT_BYTES_PER_SECOND = 50_000_000
"""docs.pinecone.io, "Rate limits": of one namespace."""
UPSERT_REQUEST_BYTES = 2_000_000
UPSERT_REQUESTS_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """What loading some rows takes at least, and about what it costs (AWS us-east-1, Standard plan)."""

    rows: int
    upsert_seconds: float
    upsert_dollars: float
    import_seconds: float
    import_dollars: float

    def __str__(self) -> str:
        return (
            f"{self.rows:,} rows: by import at least {self.import_seconds / 60:.0f} min and about"
            f" ${self.import_dollars:,.2f}, by upserts at least {self.upsert_seconds / 60:.0f} min and about"
            f" ${self.upsert_dollars:,.2f}"
        )


def estimate_load(rows: int, dimension: int, metadata_bytes: int) -> LoadEstimate:
    """Seconds and dollars for `rows` vectors of `dimension` with about `metadata_bytes` of metadata each."""
    size = rows * (FLOAT_BYTES * dimension + ID_BYTES + metadata_bytes)
    requests = math.ceil(size / UPSERT_REQUEST_BYTES)
    return LoadEstimate(
        rows=rows,
        upsert_seconds=max(size / UPSERT_BYTES_PER_SECOND, requests / UPSERT_REQUESTS_PER_SECOND),
        upsert_dollars=write_unit_dollars(upsert_write_units(rows, dimension, metadata_bytes)),
        import_seconds=LEAST_IMPORT_SECONDS,
        import_dollars=size / 1e9 * IMPORT_DOLLARS_PER_GB,
    )


def choose_load(wanted: Literal["auto", "upsert", "import"], rows: int, obstacle: str | None) -> Load:
    """How to load `rows`; `obstacle` says why an import can't be, None if it can."""
    if wanted == "upsert" or obstacle is not None or not rows:
        return "upsert"
    return "import" if wanted == "import" or rows >= IMPORT_FROM_ROWS else "upsert"
