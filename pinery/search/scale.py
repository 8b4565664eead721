"""What a score means for a model: where it stands among the scores of random pairs of the corpus' images."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pinery.checkpoint.listings import listed_batches
from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.store import Store
from pinery.parquet.damage import parsing
from pinery.parquet.files import open_parquet
from pinery.planning.nearest import Metric

SEED = 20
VECTORS = 2048
"""The vectors that are sampled at most, of which all pairs are scored: two million."""
GROUPS = 64
"""The row groups of the checkpoint that are read at most, each of about 4 MiB."""
CANDIDATES = 4
"""For each vector wanted of a row group so many are looked up in the listing, for some of them may not be live."""
LEAST_PAIRS = 1000
"""With fewer pairs, nothing is said: one in a thousand couldn't be told."""
EXPECTED, STRONG_AT_LEAST, STRONG_AT_MOST = 8, 0.95, 0.999
"""A strong match is nearer than so many pairs that, if only chance had a part in it, a query would find no more than
EXPECTED such images in the corpus; the sample of pairs can't tell shares far beyond the last."""
LEVELS = np.concatenate(
    [np.arange(0, 0.99, 0.01), *(1 - 0.1**digits * np.arange(10, 1, -1) for digits in (3, 4, 5)), [0.99999]]
)
"""The shares of pairs whose quantiles are kept, finer towards the nearest pairs."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Quantiles of the scores of random pairs of live vectors."""

    listing: str
    """The name of the listing that says which vectors are live."""
    rows: int
    """The number of items in it."""
    vectors: int
    """The number of live vectors whose pairs were scored."""
    pairs: int
    scores: tuple[float, ...]
    """The score at each of LEVELS, rising."""

    def strength(self, score: float) -> float | None:
        """Return the share of random pairs, 0 to 1, that are less near than `score`; None where there are too few."""
        if self.pairs < LEAST_PAIRS:
            return None
        place = int(np.searchsorted(self.scores, score, "left"))
        if place in (0, len(self.scores)):
            return float(place > 0)
        low, high = self.scores[place - 1], self.scores[place]
        share = float(np.interp(score, [low, high], LEVELS[place - 1 : place + 1]))
        return round(share, 6)

    @property
    def strong(self) -> float | None:
        """The strength from which on a best hit is a strong match; None where there are too few pairs."""
        if self.pairs < LEAST_PAIRS:
            return None
        return min(STRONG_AT_MOST, max(STRONG_AT_LEAST, round(1 - EXPECTED / self.rows, 4)))


def measure(checkpoint: Checkpoint, store: Store, listing: str, metric: Metric) -> Scale:
    """Return the scale of a checkpoint's live vectors by the listing of that name; the same for the same files.

    Memory holds VECTORS vectors, their scores, and a row group. Raises DamagedError, and TerminalError where a file is
    gone.
    """
    vectors, groups, share, rows = _sampled(checkpoint, store, listing)
    scores = _scores(vectors, metric)
    left, right = np.triu_indices(len(vectors), 1)
    if share < 1:  # neighbours in the checkpoint are alike, and too many pairs of the sample are neighbours
        kept = (groups[left] != groups[right]) | (np.random.default_rng(SEED).random(len(left)) < share)
        left, right = left[kept], right[kept]
    found = scores[left, right]
    quantiles = np.quantile(found, LEVELS) if len(found) else np.zeros(len(LEVELS))
    return Scale(listing, rows, len(vectors), len(found), tuple(round(float(one), 6) for one in quantiles))


def read_scale(store: Store, name: str) -> tuple[Scale, str] | None:
    """Return the scale in the file `name` of the state, and its tag. Raises DamagedError."""
    found = store.read(name)
    if found is None:
        return None
    with parsing(f"{store.root}/{name}", "scores"):
        data = json.loads(found[0])
        rows, vectors, pairs = (int(data[name]) for name in ("rows", "vectors", "pairs"))
        scale = Scale(data["listing"], rows, vectors, pairs, tuple(map(float, data["scores"])))
        if len(scale.scores) != len(LEVELS):
            raise ValueError(f"{len(scale.scores)} scores")
        return scale, found[1]


def write_scale(store: Store, name: str, scale: Scale, tag: str | None) -> None:
    """Write a scale in the place of the one read with `tag`. Raises ConflictError where another was written since."""
    store.replace(name, json.dumps(asdict(scale)).encode(), tag)


def _sampled(
    checkpoint: Checkpoint, store: Store, listing: str
) -> tuple[NDArray[np.float32], NDArray[np.intp], float, int]:
    """Return some live vectors, shape (vectors, dimension), and the row group of each.

    After these come the share of all row groups that were read, and the number of listed items.
    """
    chooser = np.random.default_rng(SEED)
    places, all_groups = _places(checkpoint, chooser)
    quota = -(-VECTORS // max(1, len(places)))
    read = [_read(checkpoint, *place, quota * CANDIDATES, chooser) for place in places]
    live, rows = _live(store, listing, [ids for ids, _, _ in read], [versions for _, versions, _ in read])
    chosen = [values[kept][:quota] for (_, _, values), kept in zip(read, live, strict=True) if kept.any()]
    if not chosen:
        return np.empty((0, 0), np.float32), np.empty(0, np.intp), 1.0, rows
    groups = np.repeat(np.arange(len(chosen)), [len(one) for one in chosen])
    return np.concatenate(chosen), groups, len(places) / all_groups, rows


def _places(checkpoint: Checkpoint, chooser: np.random.Generator) -> tuple[list[tuple[str, int]], float]:
    """Return the row groups to read, as part and number, and how many there are of all parts, roughly."""
    parts = checkpoint.names()
    some = [parts[at] for at in sorted(chooser.permutation(len(parts))[:GROUPS])]
    groups = []
    for part in some:
        with open_parquet(checkpoint.open(part), part) as file:
            groups += [(part, group) for group in range(file.metadata.num_row_groups)]
    chosen = sorted(chooser.permutation(len(groups))[:GROUPS])
    return [groups[at] for at in chosen], len(groups) * len(parts) / max(1, len(some))


def _read(
    checkpoint: Checkpoint, part: str, group: int, rows: int, chooser: np.random.Generator
) -> tuple[list[str], list[str], NDArray[np.float32]]:
    """Return ids, versions and vectors of some random rows of a row group that have a vector."""
    with open_parquet(checkpoint.open(part), part) as file:
        table = file.read_row_group(group, columns=["id", "version", "values"])
    usable = np.flatnonzero(table["values"].is_valid().to_numpy())
    table = table.take(pa.array(chooser.permutation(usable)[:rows]))
    values: Any = table["values"].combine_chunks()
    flat = values.flatten().to_numpy(zero_copy_only=False)
    vectors = flat.reshape(len(values), -1) if len(values) else np.empty((0, 0), np.float32)
    return _texts(table["id"]), _texts(table["version"]), vectors


def _texts(column: Any) -> list[str]:
    texts: list[str] = column.to_pylist()
    return texts


def _live(
    store: Store, listing: str, ids: list[list[str]], versions: list[list[str]]
) -> tuple[list[NDArray[np.bool_]], int]:
    """Return, for each of these rows, whether the listing has its id with its version; and the number of its items."""
    wanted = pa.array([one for some in ids for one in some], pa.string())
    listed, items = dict[str, str](), 0
    for batch in listed_batches(store, listing, ["id", "version"]):
        items += batch.num_rows
        found = batch.filter(pc.is_in(batch["id"], wanted))
        listed.update(zip(_texts(found["id"]), _texts(found["version"]), strict=True))
    live = [
        np.array([listed.get(one) == version for one, version in zip(*some, strict=True)], bool)
        for some in zip(ids, versions, strict=True)
    ]
    return live, items


def _scores(vectors: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Return the scores of all pairs, shape (vectors, vectors): higher is nearer."""
    if metric == "cosine" and len(vectors):
        lengths: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        vectors = (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)
    products: NDArray[np.float32] = vectors @ vectors.T
    if metric != "euclidean":
        return products
    squares = np.diag(products)
    distances: NDArray[np.float32] = squares[:, None] + squares[None] - 2 * products
    return -distances
