"""The ledger: entries add up, the last one of an id wins, and a snapshot changes nothing."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.root import IndexPaths
from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import DamagedError
from pinery.parquet.files import TableWriter
from pinery.planning.plan import fold_ledger, snapshot_rows
from pinery.records import LEDGER_SCHEMA, REJECTED_SCHEMA

PATHS = IndexPaths("corpus/indexes/lance/name/ns")
Entry = tuple[str, str | None]  # id, version; None deletes, "?" only intends


def rows(entries: list[Entry]) -> pa.Table:
    columns = {
        "id": [id for id, _ in entries],
        "version": [None if version == "?" else version for _, version in entries],
        "metadata_hash": [None if version == "?" else version and "hash" for _, version in entries],
        "deleted": [version is None for _, version in entries],
    }
    return pa.table(columns, schema=LEDGER_SCHEMA)


def held(ledger: Ledger) -> dict[str, str]:
    """The version of each id; a row in doubt has a question mark at its end."""
    with duckdb.connect() as con:
        fold_ledger(con, [str(path) for path in ledger.files()])
        found = con.execute("SELECT id, coalesce(version, '') || if(doubt, '?', '') FROM ledger").fetchall()
    return dict(found)


def snapshot(ledger: Ledger, scratch: Path) -> None:
    path = scratch / "snapshot.parquet"
    with duckdb.connect() as con, TableWriter(path, LEDGER_SCHEMA) as writer:
        fold_ledger(con, [str(path) for path in ledger.files()])
        for batch in snapshot_rows(con).to_arrow_reader():
            writer.append(batch)
    ledger.publish_snapshot(path)


def test_the_last_entry_of_an_id_wins_across_epochs(store: Store, tmp_path: Path) -> None:
    first = Ledger(store, PATHS, epoch=1, first_epoch=1)
    first.enter(rows([("a", "v1"), ("b", "v1")]), tmp_path)
    first.enter(rows([("b", None), ("c", "v1")]), tmp_path)
    second = Ledger(store, PATHS, epoch=2, first_epoch=1)
    second.enter(rows([("a", "v2"), ("b", "v3")]), tmp_path)
    assert held(second) == {"a": "v2", "b": "v3", "c": "v1"}


def test_what_was_intended_is_in_doubt_until_it_is_entered(store: Store, tmp_path: Path) -> None:
    ledger = Ledger(store, PATHS, epoch=1, first_epoch=1)
    ledger.enter(rows([("a", "v1"), ("b", "v1")]), tmp_path)
    ledger.intend(pa.array(["a", "c"]), tmp_path)
    assert held(ledger) == {"a": "v1?", "b": "v1", "c": "?"}
    ledger.enter(rows([("a", "v2"), ("c", None)]), tmp_path)
    assert held(ledger) == {"a": "v2", "b": "v1"}


def test_entries_of_an_index_that_is_gone_are_void(store: Store, tmp_path: Path) -> None:
    Ledger(store, PATHS, epoch=1, first_epoch=1).enter(rows([("a", "v1")]), tmp_path)
    assert held(Ledger(store, PATHS, epoch=2, first_epoch=2)) == {}


def test_a_snapshot_replaces_what_it_contains_and_later_entries_still_count(store: Store, tmp_path: Path) -> None:
    ledger = Ledger(store, PATHS, epoch=1, first_epoch=1)
    assert not ledger.wants_snapshot()
    ledger.enter(rows([("a", "v1"), ("b", "v1")]), tmp_path)
    ledger.enter(rows([("b", None)]), tmp_path)
    assert ledger.wants_snapshot()
    snapshot(ledger, tmp_path)
    assert len(ledger.files()) == 1
    assert not ledger.wants_snapshot()
    ledger.enter(rows([("c", "v1")]), tmp_path)
    assert held(ledger) == {"a": "v1", "c": "v1"}


def test_a_crash_between_snapshot_and_removal_counts_nothing_twice(tmp_path: Path) -> None:
    class Dying(LocalStore):
        def delete(self, name: str) -> None:
            raise InterruptedError(name)

    ledger = Ledger(Dying(tmp_path / "state"), PATHS, epoch=1, first_epoch=1)
    ledger.enter(rows([("a", "v1"), ("b", "v1")]), tmp_path)
    ledger.enter(rows([("b", None)]), tmp_path)
    with pytest.raises(InterruptedError):
        snapshot(ledger, tmp_path)
    after = Ledger(LocalStore(tmp_path / "state"), PATHS, epoch=2, first_epoch=1)
    assert len(after.files()) == 1
    assert held(after) == {"a": "v1"}


def test_an_open_entry_grows_with_each_acknowledgement_and_ends_as_one(store: Store, tmp_path: Path) -> None:
    ledger = Ledger(store, PATHS, epoch=1, first_epoch=1)
    ledger.enter(rows([("a", "v1"), ("z", "v1")]), tmp_path)
    entry = ledger.open_entry(pa.chunked_array([["a", "b", "c"]]), tmp_path)
    assert held(ledger) == {"a": "v1?", "b": "?", "c": "?", "z": "v1"}
    entry.acknowledge(rows([("a", "v2")]))
    entry.enter()
    assert held(ledger) == {"a": "v2", "b": "?", "c": "?", "z": "v1"}
    entry.enter()
    assert len(ledger.files()) == 3, "nothing new, no file"
    entry.acknowledge(rows([("b", "v2")]))
    entry.close()
    assert held(ledger) == {"a": "v2", "b": "v2", "c": "?", "z": "v1"}, "what was never acknowledged stays in doubt"
    assert len(ledger.files()) == 2


def test_an_open_entry_without_any_acknowledgement_leaves_its_rows_in_doubt(store: Store, tmp_path: Path) -> None:
    ledger = Ledger(store, PATHS, epoch=1, first_epoch=1)
    ledger.open_entry(pa.chunked_array([["a"]]), tmp_path).close()
    assert held(ledger) == {"a": "?"}
    assert len(ledger.files()) == 1


def test_a_crash_while_an_entry_is_closed_changes_nothing(tmp_path: Path) -> None:
    class Dying(LocalStore):
        def delete(self, name: str) -> None:
            raise InterruptedError(name)

    ledger = Ledger(Dying(tmp_path / "state"), PATHS, epoch=1, first_epoch=1)
    entry = ledger.open_entry(pa.chunked_array([["a", "b"]]), tmp_path)
    entry.acknowledge(rows([("a", "v1")]))
    with pytest.raises(InterruptedError):
        entry.close()
    assert held(Ledger(LocalStore(tmp_path / "state"), PATHS, epoch=2, first_epoch=1)) == {"a": "v1", "b": "?"}


def test_files_that_count_for_nothing_are_stale_but_for_the_newest(store: Store, tmp_path: Path) -> None:
    old = Ledger(store, PATHS, 1, 1)
    old.enter(rows([("a", "1")]), tmp_path)
    old.reject(pa.Table.from_pylist([{"id": "b"}], schema=REJECTED_SCHEMA), tmp_path)
    assert old.stale() == []
    void = Ledger(store, PATHS, 2, 2)
    assert len(void.stale()) == 1, "the next entry is named after the newest"
    void.enter(rows([("a", "2")]), tmp_path)
    assert void.stale() == [f"{PATHS.ledger}/00000001-00000000.parquet", f"{PATHS.rejected}/00000001-00000001.parquet"]
    for name in void.stale():
        store.delete(name)
    assert held(void) == {"a": "2"}
    assert void.stale() == []


def test_a_file_of_rejected_rows_can_be_forgotten(store: Store, tmp_path: Path) -> None:
    ledger = Ledger(store, PATHS, 1, 1)
    for _ in range(2):
        ledger.reject(pa.Table.from_pylist([{"id": "b"}], schema=REJECTED_SCHEMA), tmp_path)
    first, second = ledger.rejected_names()
    ledger.forget_rejected(first)
    assert ledger.rejected_names() == [second]


def test_rejected_rows_are_kept_apart(store: Store, tmp_path: Path) -> None:
    ledger = Ledger(store, PATHS, epoch=1, first_epoch=1)
    columns = {"id": ["a"], "version": ["v1"], "metadata_hash": ["h"], "reason": ["too odd"]}
    ledger.reject(pa.table(columns, schema=REJECTED_SCHEMA), tmp_path)
    assert held(ledger) == {}
    with duckdb.connect() as con:
        assert con.read_parquet(str(ledger.rejected_files()[0])).fetchall() == [("a", "v1", "h", "too odd")]


entries = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["v1", "v2", None, "?"])),
    min_size=1,
    max_size=4,
    unique_by=lambda e: e[0],
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(entries, st.booleans()), max_size=6))
def test_snapshots_at_any_moment_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[list[Entry], bool]]
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger(LocalStore(folder / "state"), PATHS, epoch=1, first_epoch=1)
    expected: dict[str, str] = {}
    for entered, compact in history:
        ledger.enter(rows(entered), folder)
        for id, version in entered:
            if version is None:
                expected.pop(id, None)
            else:
                expected[id] = expected.get(id, "").rstrip("?") + "?" if version == "?" else version
        if compact and ledger.wants_snapshot():
            snapshot(ledger, folder)
    assert held(ledger) == expected


@pytest.mark.parametrize(
    "count", [lambda one: one.newest_entries(1), lambda one: one.wants_snapshot()], ids=["newest", "all"]
)
def test_rows_of_a_damaged_entry_are_not_counted(count: Callable[[Ledger], object], tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "state")
    ledger = Ledger(store, PATHS, epoch=1, first_epoch=1)
    ledger.enter(rows([("a", "v1")]), tmp_path)
    name = ledger.enter(rows([("b", "v1")]), tmp_path)
    assert count(ledger)
    entry = store.local(f"{PATHS.ledger}/{name}")
    entry.write_bytes(entry.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=f"{name} is damaged.*verify CONFIG --full --repair"):
        count(ledger)
