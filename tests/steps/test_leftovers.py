"""Old files of runs, and what interrupted work left, are found; the newest and other programs' files are not."""

import os
from pathlib import Path
from typing import Any

from pinery.checkpoint.imports import ImportRecord, ImportRecords
from pinery.steps.leftovers import find_leftovers, find_staged, remove_leftover
from tests.filled import holding, opened


def run_names(count: int) -> list[str]:
    """Names of runs of old, oldest first."""
    return [f"202001{1 + n // 24:02d}T{n % 24:02d}0000000000Z-00000a" for n in range(count)]


def found(settings: dict[str, Any]) -> list[tuple[str, str]]:
    corpus = opened(settings)
    return [(one.item.what, one.item.name) for one in find_leftovers(corpus, [corpus.target])]


def test_files_beyond_those_that_are_kept_go_the_oldest_first(filled: dict[str, Any]) -> None:
    state, names = Path(filled["state"]), run_names(100)
    for folder, suffix in (("listings", "parquet"), ("runs", "json"), ("verify", "parquet")):
        (state / "test" / folder).mkdir(exist_ok=True)
        for name in names:
            (state / "test" / folder / f"{name}.{suffix}").write_bytes(b"12345")
    told = found(filled)
    assert [name for what, name in told if what == "listing"] == [f"test/listings/{one}.parquet" for one in names[:94]]
    assert [name for what, name in told if what == "report"] == [f"test/runs/{one}.json" for one in names[:11]]
    assert [name for what, name in told if what == "differences"] == [
        f"test/verify/{one}.parquet" for one in names[:93]
    ]
    corpus = opened(filled)
    checks: list[int] = []
    for one in find_leftovers(corpus, [corpus.target]):
        assert one.item.bytes == 5
        remove_leftover(corpus.store, one, lambda: checks.append(1))
    assert len(checks) == 94 + 11 + 93
    assert found(filled) == []


def test_what_other_programs_left_is_none_of_it(filled: dict[str, Any]) -> None:
    folder = Path(filled["state"], "test")
    for name in ("listings/desktop.ini", "runs/20200101T000000000000Z-00000a (conflicted copy).json"):
        for number in range(100):
            (folder / name).with_name(f"{number} {Path(name).name}").write_bytes(b"")
    assert found(filled) == []


def test_entries_of_an_index_that_is_gone_are_found_and_those_that_count_are_not(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        folder = held.target.store.local(held.target.recorded_at.ledger)
        assert found(filled) == []
        snapshot = sorted(path.name for path in folder.iterdir())[-1]
        (folder / "00000000-00000000.parquet").write_bytes(b"void")
    [(what, name)] = found(filled)
    assert (what, name) == ("ledger", held.target.recorded_at.ledger)
    corpus = opened(filled)
    [one] = find_leftovers(corpus, [corpus.target])
    assert one.item.bytes == 4
    remove_leftover(corpus.store, one, lambda: None)
    assert snapshot in os.listdir(folder)
    assert found(filled) == []


def test_an_export_goes_once_its_import_is_over(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    target, [over, open_one] = corpus.target, run_names(2)
    records = ImportRecords(corpus.store, target.recorded_at)
    for name, state in ((over, "failed"), (open_one, "ready")):
        records.write(ImportRecord(name, f"s3://b/exports/{name}", "i", 3, state=state))  # type: ignore[arg-type]
        for file in (
            f"exports/{name}/test/part-00000000.parquet",
            f"{target.recorded_at.imports}/{name}/00000000.parquet",
        ):
            corpus.store.write(file, b"123")
    [one] = find_leftovers(corpus, [target])
    assert (one.item.what, one.item.name, one.item.bytes) == ("export", f"exports/{over}", 6)
    remove_leftover(corpus.store, one, lambda: None)
    assert corpus.store.names(f"exports/{over}/test") == []
    assert corpus.store.names(f"exports/{open_one}/test") == ["part-00000000.parquet"]
    assert len(records.all()) == 2


def test_staged_parts_are_left_over_once_no_run_is_under_way(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    key = corpus.target.card.key
    assert find_staged(corpus, [key]) == {}
    with holding(filled):
        corpus.store.write(f"{corpus.paths.staging(key)}/part-1.parquet", b"1234")
        assert find_staged(corpus, [key]) == {}, "they may be published yet"
    told = find_staged(corpus, [key])[key]
    assert (told.what, told.name, told.bytes) == ("staging", f"test/{key}/staging", 4)
    with holding(filled):
        assert find_staged(corpus, [key]) == {}, "whoever takes the lease clears them"
