"""Some rows of an index as they were sent, drawn by chance, to be compared with what it holds."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pinery.checkpoint.parts import Checkpoint
from pinery.corpus.outage import retry_through_outage
from pinery.corpus.run import HeldTarget
from pinery.steps.compare import difference_of

SAMPLED_PARTS = 4
SAMPLED_ROWS = 25
WORDS = {"missing": "is missing", "wrong": "has another vector", "wrong_metadata": "has other metadata"}


@dataclass(frozen=True, slots=True, eq=False)
class SentRow:
    """A row as an index acknowledged it last."""

    id: str
    values: NDArray[np.float32]
    """Shape (dimension,)."""
    metadata: Mapping[str, Any]


Sample = tuple[tuple[SentRow, ...], ...]
"""Rows by the part that they are of; those of one are fetched together."""


def draw_sample(checkpoint: Checkpoint, con: duckdb.DuckDBPyConnection, chooser: random.Random) -> Sample:
    """Return rows of some parts, those that the index is to hold as they are; `con` has the target's plan.

    Raises DamagedError.
    """
    parts = [
        row[0] for row in con.execute("SELECT DISTINCT part FROM winner WHERE error IS NULL ORDER BY part").fetchall()
    ]
    chosen = chooser.sample(parts, min(SAMPLED_PARTS, len(parts)))
    return tuple(_sent(con, part, _random_rows(checkpoint, part, chooser)) for part in chosen)


def differences_of_sample(held: HeldTarget, sample: Sample) -> list[str]:
    """Return how the rows of a sample differ from what the index holds, a few words for each."""
    differences = []
    for rows in sample:
        found = retry_through_outage(held, partial(held.index.fetch, [row.id for row in rows]))
        for row in rows:
            difference = difference_of(found.get(row.id), row.values, row.metadata)
            if difference:
                differences.append(f"{row.id} {WORDS[difference]}")
    return differences


def _sent(con: duckdb.DuckDBPyConnection, part: str, rows: pa.Table) -> tuple[SentRow, ...]:
    con.register("sampled", rows.select(["id", "version"]))
    expected = con.execute(
        """
        SELECT i.id, l.metadata FROM sampled p JOIN items i USING (id, version) JOIN listing l USING (position)
        WHERE i.part = $part AND NOT (i.absent OR i.other_version OR i.other_metadata OR i.doubt)
        """,
        {"part": part},
    ).fetchall()
    con.unregister("sampled")
    values: dict[Any, Any] = dict(zip(rows.column("id").to_pylist(), rows["values"].to_pylist(), strict=True))
    return tuple(SentRow(id, np.asarray(values[id], np.float32), json.loads(metadata)) for id, metadata in expected)


def _random_rows(checkpoint: Checkpoint, part: str, chooser: random.Random) -> pa.Table:
    with checkpoint.open(part) as source, pq.ParquetFile(source, pre_buffer=False) as file:
        group = chooser.randrange(file.metadata.num_row_groups)
        table = file.read_row_group(group, columns=["id", "version", "values"])
    table = table.filter(table["values"].is_valid())
    return table.take(sorted(chooser.sample(range(table.num_rows), min(SAMPLED_ROWS, table.num_rows))))
