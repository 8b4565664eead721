"""The vectors that an index is to hold: each live one once, whatever else its checkpoint has."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pinery.corpus.run import HeldTarget
from pinery.corpus.stored import ATTEMPTS
from pinery.errors import DamagedError, StoppedError, TerminalError
from pinery.records import Item
from pinery.steps.live_vectors import LiveVectors, UnheldVectors, live_vectors
from tests.filled import opened
from tests.vectors import NEW, OLD, filled_with, labelled_items, settings_of, vectors, write_part, written_listing

ITEMS = labelled_items(["a"] * 150)
VALUES = vectors(1, 150)


def found_in(held: HeldTarget, items: list[Item]) -> LiveVectors:
    with held.planned(written_listing(held.scratch, items)) as con:
        return live_vectors(con, held.target.checkpoint, held.scratch / "live.parquet")


def streamed(rows: LiveVectors) -> dict[str, Any]:
    """All rows of the stream by id; none comes twice."""
    found: dict[str, Any] = {}
    for ids, values in rows.batches():
        assert (len(ids), values.dtype) == (len(values), np.float32)
        assert not found.keys() & set(ids)
        found |= dict(zip(ids, values, strict=True))
    return found


def expect(rows: LiveVectors, expected: dict[str, Any]) -> None:
    """Stream and look-up both give exactly these vectors."""
    assert rows.rows == len(expected)
    for found in (streamed(rows), rows.of([*expected, "nobody"], lambda _: None)):
        assert found.keys() == expected.keys()
        for row_id, vector in expected.items():
            np.testing.assert_array_equal(found[row_id], vector)


def test_each_live_vector_comes_once_from_the_lowest_part(tmp_path: Path) -> None:
    values: list[Any] = [*VALUES]
    values[7] = values[8] = None
    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS, values) as held:
        later = vectors(2, 6)
        # The same rows again, one that was quarantined, one of another version and one that isn't listed.
        write_part(held.scratch / "part", [*ITEMS[5:8], Item("gone", "", "v1", 1, "{}")], later[:4])
        held.target.checkpoint.publish("part-00000009", held.scratch / "part")
        write_part(held.scratch / "part", ITEMS[9:11], later[4:], version="v0")
        held.target.checkpoint.publish("part-00000010", held.scratch / "part")
        expected = {item.id: value for item, value in zip(ITEMS, values, strict=True) if value is not None}
        expect(found_in(held, ITEMS), expected | {ITEMS[7].id: later[2]})
        expect(found_in(held, ITEMS[100:120]), {item.id: expected[item.id] for item in ITEMS[100:120]})


def test_what_an_index_rejects_is_not_for_it(tmp_path: Path) -> None:
    unfit = Item(ITEMS[3].id, "file:///x", "v1", 1, '{"label":"a"}', error="too large")
    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS, VALUES) as held:
        rows = found_in(held, [*ITEMS[:3], unfit, *ITEMS[4:]])
        assert rows.rows == 149
        assert unfit.id not in streamed(rows)


def test_a_checkpoint_without_vectors_has_none(tmp_path: Path) -> None:
    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS[:3], [None] * 3) as held:
        expect(found_in(held, ITEMS[:3]), {})


def test_a_damaged_part_is_told(tmp_path: Path) -> None:
    with filled_with(settings_of(tmp_path / "state", NEW), ITEMS, VALUES) as held:
        rows = found_in(held, ITEMS)
        [part] = tmp_path.glob("state/test/*/parts/part-00000001.parquet")
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
        with pytest.raises(DamagedError, match="part-00000001"):
            streamed(rows)


def test_vectors_are_read_again_where_a_run_replaced_parts_meanwhile(tmp_path: Path) -> None:
    settings, listing = settings_of(tmp_path / "state", OLD), written_listing(tmp_path, ITEMS)
    with filled_with(settings, ITEMS, VALUES):
        pass
    calls = []

    def read(rows: LiveVectors) -> dict[str, Any]:
        calls.append(rows)
        if len(calls) == 1:
            [part] = tmp_path.glob("state/test/*/parts/part-00000001.parquet")
            part.rename(part.with_name("part-00000077.parquet"))
        return streamed(rows)

    old = UnheldVectors(opened(settings).target, listing, tmp_path / "live.parquet")
    assert len(old.reading(read)) == 150
    assert len(calls) == 2
    assert old.reading(lambda rows: rows) is calls[1]


@pytest.mark.parametrize(("error", "calls"), [(StoppedError("stop"), 1), (TerminalError("gone"), ATTEMPTS)], ids=repr)
def test_what_stops_the_reader_is_not_tried_again(tmp_path: Path, error: Exception, calls: int) -> None:
    with filled_with(settings_of(tmp_path / "state", OLD), ITEMS[:3], VALUES[:3]):
        pass
    seen = []

    def read(rows: LiveVectors) -> None:
        seen.append(rows)
        raise error

    target = opened(settings_of(tmp_path / "state", OLD)).target
    with pytest.raises(type(error)):
        UnheldVectors(target, written_listing(tmp_path, ITEMS[:3]), tmp_path / "live.parquet").reading(read)
    assert len(seen) == calls
