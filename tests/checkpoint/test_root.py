"""Names that a user chooses: no two share a place in the state, none leads out of it, and old places stay."""

from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from pinery.checkpoint.root import LONGEST, OF_RUN, CorpusPaths, folder_name, keep_newest, only
from pinery.checkpoint.store import LocalStore
from pinery.config import Config

names = st.text(min_size=1, max_size=400)


@given(names, names)
@example("..", ".")
@example("n" * 300, "n" * 301)
@example("n" * 300, folder_name("n" * 300))
@example("a/b", "a%2Fb")
@example("..", "%2E%2E")
@example("/", "\\")
def test_two_namespaces_share_no_folder(one: str, other: str) -> None:
    places = [CorpusPaths("corpus").index("lance", "index", name).ledger for name in (one, other)]
    assert (places[0] == places[1]) == (one == other)
    for place in places:
        parts = PurePosixPath(place).parts
        assert len(parts) == 6
        assert not {".", "..", ""} & set(parts)
        assert all(len(part.encode()) <= LONGEST for part in parts)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=70))
def test_places_of_earlier_versions_stay(name: str) -> None:
    if name not in (".", ".."):
        assert folder_name(name) == quote(name, safe="")


def settings(**changes: str) -> dict[str, object]:
    source = {"kind": "folder", "path": "/images"}
    return {"corpus": "mine", "source": source, "model": "descriptor", "state": "/state"} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"corpus": "state.json"},
        {"corpus": "State.JSON"},
        {"corpus": "lance"},
        {"corpus": ".."},
        {"corpus": ".cache"},
        {"corpus": "a/b"},
        {"namespace": "nul\0"},
        {"namespace": "half \ud800 of a character"},
        {"state": "/a\0b"},
    ],
)
def test_a_name_that_could_be_no_folder_is_refused_before_work_starts(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(settings(**changes))


@pytest.mark.parametrize("corpus", ["models", "owners", "exports", "indexes", "a.b", "listings"])
def test_other_names_are_a_corpus_like_any(corpus: str) -> None:
    assert Config.model_validate(settings(corpus=corpus)).corpus == corpus


def test_only_names_that_pinery_gives_count() -> None:
    run = "20261126T174412000000Z-0a1b2c"
    foreign = ["desktop.ini", f"{run} (conflicted copy).json", f"{run}.json~", f"{run}.json.tmp", "z.json"]
    assert only(OF_RUN, [*foreign, f"{run}.parquet", f"{run}.json"]) == [f"{run}.json", f"{run}.parquet"]


def test_of_a_folder_the_newest_files_of_runs_stay_and_all_of_other_programs(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    names = [f"2026010{day}T000000000000Z-00000{day}.json" for day in range(1, 6)]
    for name in [*reversed(names), "desktop.ini", f"{names[0]} (1)"]:
        store.write(f"corpus/runs/{name}", b"x")
    keep_newest(store, "corpus/runs", 2)
    assert store.names("corpus/runs") == sorted([*names[-2:], "desktop.ini", f"{names[0]} (1)"])
    keep_newest(store, "corpus/runs", 7)
    assert len(store.names("corpus/runs")) == 4
