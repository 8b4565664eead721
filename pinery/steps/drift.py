"""The drift of a run's new vectors: whether their mean and norm are like those of the checkpoint before it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinery.checkpoint.parts import Checkpoint
from pinery.errors import PineryError
from pinery.reports import Drift

SAMPLED_PARTS = 4
SAMPLED_ROWS = 1024
LEAST = 50
"""Fewer new or old vectors than this say nothing."""


def drift(checkpoint: Checkpoint, made: Sequence[str]) -> Drift | None:
    """Compare a sample of the vectors in the parts that were `made` with a sample of those made before.

    At most four parts of each are read, and of each at most 1,024 vectors. Returns None where there are too few, or
    where a part can't be read: the run itself doesn't need it.
    """
    before = [part for part in checkpoint.names() if part not in set(made)]
    try:
        new, old = (_sample(checkpoint, _spread(parts)) for parts in (made, before))
    except PineryError:
        return None
    if len(new) < LEAST or len(old) < LEAST:
        return None
    means = [vectors.mean(axis=0) for vectors in (new, old)]
    lengths = [float(np.linalg.norm(mean)) for mean in means]
    norms = [float(np.linalg.norm(vectors, axis=1).mean()) for vectors in (new, old)]
    if not all((*lengths, norms[1])):
        return None
    cosine = float(means[0] @ means[1]) / (lengths[0] * lengths[1])
    return Drift(len(new), len(old), round(cosine, 4), round(norms[0] / norms[1], 4))


def _spread(parts: Sequence[str]) -> list[str]:
    """Return a few of the parts, spread over all of them."""
    return [parts[len(parts) * turn // SAMPLED_PARTS] for turn in range(min(SAMPLED_PARTS, len(parts)))]


def _sample(checkpoint: Checkpoint, parts: Iterable[str]) -> NDArray[np.float64]:
    """Return the first vectors of each part: shape (rows, dimension), float64."""
    found = []
    for part in dict.fromkeys(parts):
        batch = next(checkpoint.batches(part, ["values"], SAMPLED_ROWS), None)
        if batch is None:
            continue
        vectors: Any = batch["values"].drop_null().to_numpy(zero_copy_only=False)
        if len(vectors):
            found.append(np.stack(vectors).astype(np.float64))
    return np.concatenate(found) if found else np.empty((0, 0))
