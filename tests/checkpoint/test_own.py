"""Writes whose answer is lost: what took effect is known for one's own, what another wrote is a conflict."""

from pathlib import Path

import pyarrow as pa
import pytest

from pinery.checkpoint.alias import Alias, Change, read_alias, write_alias
from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.root import IndexPaths, state_id
from pinery.checkpoint.store import LocalStore
from pinery.errors import ConflictError, TransientError
from pinery.records import LEDGER_SCHEMA


class Forgetful(LocalStore):
    """Carries writes out, or not, and then fails as if the answer were lost."""

    def __init__(self, root: Path, error: type[Exception], effect: bool) -> None:
        super().__init__(root)
        self.error, self.effect = error, effect

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        if self.effect:
            super().replace(name, data, tag)
        raise self.error("503")

    def publish(self, name: str, path: Path) -> None:
        if self.effect:
            copy = path.with_name("copy")
            copy.write_bytes(path.read_bytes())
            super().publish(name, copy)
        raise self.error("503")


ERRORS = pytest.mark.parametrize("error", [TransientError, ConflictError])


def entry(*ids: str) -> pa.Table:
    return pa.table([list(ids), ["v"] * len(ids), ["h"] * len(ids), [False] * len(ids)], schema=LEDGER_SCHEMA)


def ledger(store: LocalStore) -> Ledger:
    return Ledger(store, IndexPaths("index"), 1, 1)


@ERRORS
def test_a_ledger_entry_that_is_there_was_entered(tmp_path: Path, error: type[Exception]) -> None:
    store = Forgetful(tmp_path / "state", error, effect=True)
    (tmp_path / "scratch").mkdir()
    ledger(store).enter(entry("a", "b"), tmp_path / "scratch")
    [file] = ledger(store).files()
    assert file.exists()
    assert {path.name for path in (tmp_path / "scratch").iterdir()} <= {"copy"}, "the local file is gone, as after any"


@ERRORS
def test_one_that_is_not_there_or_is_another_was_not(tmp_path: Path, error: type[Exception]) -> None:
    (tmp_path / "scratch").mkdir()
    with pytest.raises(error):
        ledger(Forgetful(tmp_path / "none", error, effect=False)).enter(entry("a"), tmp_path / "scratch")
    store = LocalStore(tmp_path / "state")
    ledger(store).enter(entry("b"), tmp_path / "scratch")
    with pytest.raises(ConflictError):
        ledger(store).enter(entry("a"), tmp_path / "scratch")


@ERRORS
def test_an_alias_that_says_it_was_changed(tmp_path: Path, error: type[Exception]) -> None:
    mine, other = (Alias(history=[Change("now", run, "index")]) for run in ("mine", "other"))
    write_alias(Forgetful(tmp_path, error, effect=True), "alias.json", mine, None)
    assert read_alias(LocalStore(tmp_path), "alias.json")[0] == mine
    with pytest.raises(ConflictError):
        write_alias(LocalStore(tmp_path), "alias.json", other, None)
    with pytest.raises(error):
        write_alias(Forgetful(tmp_path / "none", error, effect=False), "alias.json", mine, None)


@ERRORS
def test_a_state_has_the_id_that_was_written(tmp_path: Path, error: type[Exception]) -> None:
    found = state_id(Forgetful(tmp_path, error, effect=True))
    assert found == state_id(LocalStore(tmp_path))
    with pytest.raises(error):
        state_id(Forgetful(tmp_path / "none", error, effect=False))
