"""The state's own id: made once, the same for all who come at once, and never made anew over a file that is there."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pinery.checkpoint.state_file import NAME, state_id
from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import ConfigError, DamagedError


def test_the_id_is_made_on_first_use_and_stays(store: Store) -> None:
    assert state_id(store, create=False) is None
    made = state_id(store)
    assert made
    assert state_id(store) == state_id(store, create=False) == made


def test_asking_makes_nothing(tmp_path: Path) -> None:
    assert state_id(LocalStore(tmp_path / "state"), create=False) is None
    assert not (tmp_path / "state").exists()


def test_all_who_come_at_once_get_one_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: state_id(LocalStore(tmp_path / "state")), range(8)))
    assert len(set(found)) == 1


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"id": "x"}', b'{"format": 1}', b"null"])
@pytest.mark.parametrize("create", [True, False])
def test_a_damaged_file_is_told_and_no_other_id_made(tmp_path: Path, text: bytes, create: bool) -> None:
    store = LocalStore(tmp_path)
    store.write(NAME, text)
    with pytest.raises(DamagedError, match=r"state\.json can't be read .* Put it back from a copy"):
        state_id(store, create)
    assert (tmp_path / NAME).read_bytes() == text


def test_a_state_of_a_later_version_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write(NAME, b'{"id": "x", "format": 2}')
    with pytest.raises(ConfigError, match="has state format 2; this version reads 1: update Pinery"):
        state_id(store)
