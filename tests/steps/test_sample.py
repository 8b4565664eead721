"""The sample that the check at a run's end compares: rows as they were sent, the same ones for the same chance."""

import random
from typing import Any

import numpy as np
import pyarrow as pa

from pinery.steps.sample import SAMPLED_PARTS, SAMPLED_ROWS, differences_of_sample, draw_sample
from tests.filled import current_listing, holding, rows_of
from tests.indexes.rows import batch


def test_a_sample_has_rows_as_they_were_sent_the_same_ones_for_the_same_chance(filled: dict[str, Any]) -> None:
    with holding(filled) as held, held.planned(current_listing(held)) as con:
        first, again = (draw_sample(held.target.checkpoint, con, random.Random(7)) for _ in range(2))
    sent = [row for rows in first for row in rows]
    assert 0 < len(first) <= SAMPLED_PARTS
    assert 0 < len(sent) <= SAMPLED_PARTS * SAMPLED_ROWS
    assert [row.id for row in sent] == [row.id for rows in again for row in rows]
    stored = rows_of(filled)
    for row in sent:
        np.testing.assert_allclose(row.values, stored[row.id].values, rtol=1e-6)
        assert row.metadata == stored[row.id].metadata


def test_a_row_in_doubt_is_in_no_sample(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        held.ledger.intend(pa.array(list(rows_of(filled))), held.scratch)
        with held.planned(current_listing(held)) as con:
            sample = draw_sample(held.target.checkpoint, con, random.Random(7))
    assert [row for rows in sample for row in rows] == []


def test_what_the_index_holds_otherwise_is_told(filled: dict[str, Any]) -> None:
    stored = rows_of(filled)["red-0.jpg"]
    with holding(filled) as held:
        with held.planned(current_listing(held)) as con:
            sample = draw_sample(held.target.checkpoint, con, random.Random(7))
        assert differences_of_sample(held, sample) == []
        held.index.upsert(batch(["red-0.jpg"], [[1.0] * len(stored.values)], [dict(stored.metadata)]))
        held.index.delete(["red-1.jpg"])
        told = differences_of_sample(held, sample)
    assert sorted(told) == ["red-0.jpg has another vector", "red-1.jpg is missing"]
