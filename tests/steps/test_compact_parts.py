"""The rows of mostly dead parts that still count move to a new part, as they are."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pinery.errors import DamagedError
from pinery.steps.compact_parts import compact_parts, find_dead_parts
from pinery.steps.make_plan import PlanOptions
from tests.corpora import config, paint
from tests.filled import bring, holding, opened
from tests.steps.pruned import NO_GUARDS, bring_often


@pytest.fixture
def worn(images: Path, tmp_path: Path) -> dict[str, Any]:
    """A corpus of twelve images and a broken one, of which nine changed in the last listings but three."""
    (images / "blue-00.jpg").write_bytes(b"no image")
    made = config(images, tmp_path / "state", run=NO_GUARDS)
    bring(made)
    for path in sorted(images.glob("*-[123].jpg")):
        paint(path, path.name.partition("-")[0], 100 + int(path.stem[-1]))
    bring(made)
    bring_often(made, 2)
    return made


def rows(settings: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    checkpoint = opened(settings).target.checkpoint
    found = [row for part in checkpoint.names() for batch in checkpoint.batches(part, []) for row in batch.to_pylist()]
    assert not any(found)
    columns = ["id", "version", "sha256", "values", "error"]
    batches = (batch for part in checkpoint.names() for batch in checkpoint.batches(part, columns))
    return {(row["id"], row["version"]): row for batch in batches for row in batch.to_pylist()}


def test_what_is_live_is_kept_bit_for_bit_and_so_is_a_verdict(worn: dict[str, Any], tmp_path: Path) -> None:
    before = rows(worn)
    dead = find_dead_parts(opened(worn), opened(worn).target, tmp_path)
    assert [one.name.rpartition("/")[2] for one in dead] == [f"part-0000000{n}.parquet" for n in range(3)]
    with holding(worn) as held:
        moved: list[int] = []
        names = compact_parts(held, lambda: moved.append(1))
        assert names == [one.name for one in dead]
        assert moved, "a long compaction is no standstill"
        assert compact_parts(held, lambda: None) == []
    after = rows(worn)
    assert len(after) == 13
    assert after.items() <= before.items()
    assert [row["error"] is not None for key, row in after.items() if key[0] == "blue-00.jpg"] == [True]
    report = bring(worn)
    assert (report.embedded, report.quarantined, report.upserted) == (0, 1, 0)


def test_a_part_is_as_large_as_a_runs(worn: dict[str, Any]) -> None:
    with holding(worn | {"run": NO_GUARDS | {"part_rows": 2}}) as held:
        compact_parts(held, lambda: None)
        checkpoint = held.target.checkpoint
        sizes = [
            pq.read_metadata(checkpoint.store.local(f"{checkpoint.folder}/{one}.parquet")) for one in checkpoint.names()
        ]
    assert [one.num_rows for one in sizes] == [5, 4, 2, 2]


def test_without_a_listing_nothing_says_what_is_dead(worn: dict[str, Any], tmp_path: Path) -> None:
    for path in Path(worn["state"], "test", "listings").iterdir():
        path.unlink()
    assert find_dead_parts(opened(worn), opened(worn).target, tmp_path) == ()


def test_nothing_is_removed_on_the_word_of_a_damaged_file(worn: dict[str, Any]) -> None:
    newest = sorted(Path(worn["state"], "test", "listings").iterdir())[-1]
    data = bytearray(newest.read_bytes())
    data[60] ^= 1  # among the ids
    newest.write_bytes(data)
    before = opened(worn).target.checkpoint.names()
    with holding(worn) as held, pytest.raises(DamagedError, match=newest.name):
        compact_parts(held, lambda: None)
    assert opened(worn).target.checkpoint.names() == before


def test_what_left_the_listing_comes_back_for_nothing_while_one_of_three_listings_has_it(
    images: Path, tmp_path: Path
) -> None:
    made = config(images, tmp_path / "state", run=NO_GUARDS)
    bring(made)
    kept = {path: (path.read_bytes(), path.stat()) for path in sorted(images.iterdir())[:8]}
    for path in kept:
        path.unlink()
    bring(made)
    bring(made)
    with holding(made) as held:
        assert compact_parts(held, lambda: None) == [], "the third of three listings has all"
    bring(made)
    with holding(made) as held:
        assert len(compact_parts(held, lambda: None)) == 2
    assert bring(made, PlanOptions(allow_deletes=True)).embedded == 0
