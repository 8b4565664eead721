"""The answer to a query: its hits, best first, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["rank", "id", "score", "strength", "uri"]


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of an index that a query found."""

    rank: int
    """1 for the nearest."""
    id: str
    score: float
    """In the index' metric, for example the cosine; higher is nearer."""
    metadata: Mapping[str, Any]
    uri: str = ""
    """The image's address in the current listing; empty where it isn't listed any more."""
    strength: float | None = None
    """The share of random pairs of the corpus' images that are less near than query and hit are, 0 to 1.

    None where that is unknown: for words, for combinations, for bare vectors, and in a corpus of few images.
    """


@dataclass(frozen=True, slots=True)
class Hits:
    """The hits of a query, best first, all of one index and one model."""

    hits: tuple[Hit, ...]
    index: str
    """The name of the index that was searched."""
    model_key: str
    """The key of the model whose vectors it holds."""
    generation: int
    """The alias' generation in which it was searched."""
    strong_from: float | None = None
    """The strength from which on a hit is a strong match; None where nobody knows."""
    query_id: str | None = None
    """The item that was searched by, which is no match of its own."""

    @property
    def strong(self) -> bool | None:
        """True where a hit that isn't the query itself is a strong match; None where nobody knows."""
        found = [hit.strength for hit in self.hits if hit.id != self.query_id and hit.strength is not None]
        return max(found) >= self.strong_from if found and self.strong_from is not None else None

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __getitem__(self, place: int) -> Hit:
        return self.hits[place]

    def to_dict(self) -> dict[str, Any]:
        """Return the hits and where they come from, ready for JSON."""
        told = {"matches": [asdict(hit) for hit in self.hits], "strong": self.strong, "strong_from": self.strong_from}
        return told | {"index": self.index, "model_key": self.model_key, "generation": self.generation}

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each hit: COLUMNS, and a column for each metadata key.

        A key that has the name of one of these columns is `metadata.` and that name.
        """
        import pandas as pd

        rows = []
        for hit in self.hits:
            named = {f"metadata.{key}" if key in COLUMNS else key: value for key, value in hit.metadata.items()}
            rows.append({name: getattr(hit, name) for name in COLUMNS} | named)
        return pd.DataFrame(rows, columns=None if rows else COLUMNS)
