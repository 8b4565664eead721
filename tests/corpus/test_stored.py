"""A state is read without a lease: again where a run replaces files meanwhile, and never where it is damaged."""

from pathlib import Path
from typing import Any

import pytest

from pinery.corpus.stored import (
    ATTEMPTS,
    current_listing,
    last_report,
    planned_as_recorded,
    temporary_folder,
    undisturbed,
)
from pinery.errors import (
    ConfigError,
    DamagedError,
    LeaseLostError,
    StoppedError,
    TerminalError,
    TransientError,
)
from tests.corpora import config
from tests.filled import Failing, opened


def test_a_file_that_a_run_replaced_meanwhile_is_read_again() -> None:
    read = Failing(TerminalError("s3://b/ledger/1 does not exist"), times=2)
    assert undisturbed(read) == "answer"
    assert read.calls == 3


def test_what_is_always_missing_is_an_error_in_the_end() -> None:
    read = Failing(TerminalError("gone"), times=99)
    with pytest.raises(TerminalError, match="gone"):
        undisturbed(read)
    assert read.calls == ATTEMPTS


@pytest.mark.parametrize(
    "error",
    [
        DamagedError("torn"),
        TransientError("503"),
        ConfigError("no listing"),
        StoppedError("asked to stop"),
        LeaseLostError("taken over"),
    ],
    ids=repr,
)
def test_reading_again_helps_against_nothing_else(error: Exception) -> None:
    read = Failing(error, times=99)
    with pytest.raises(type(error)):
        undisturbed(read)
    assert read.calls == 1


def test_a_temporary_folder_is_gone_whatever_happens_in_it() -> None:
    folders: list[Path] = []

    def fail() -> None:
        with temporary_folder("plan") as folder:
            folders.append(folder)
            (folder / "file").write_text("x")
            raise ValueError("whatever happens")

    with pytest.raises(ValueError, match="whatever happens"):
        fail()
    assert not folders[0].exists()


def test_the_current_listing_and_the_last_report(made: dict[str, Any], images: Path, tmp_path: Path) -> None:
    corpus = opened(made)
    report = last_report(corpus)
    assert report is not None
    assert (report.state, report.listed, report.verified) == ("done", 12, True)
    assert report.listing == corpus.current_listing()
    assert current_listing(corpus) == corpus.store.local(str(report.listing))
    never = opened(config(images, tmp_path / "state"))
    assert last_report(never) is None
    with pytest.raises(ConfigError, match=r"corpus test has no listing .* `pinery run` makes the first one"):
        current_listing(never)


@pytest.mark.parametrize("text", ["", "{", "null"])
def test_a_damaged_report_is_told_by_name(filled: dict[str, Any], text: str) -> None:
    [path] = Path(filled["state"], "test", "runs").iterdir()
    path.write_text(text)
    with pytest.raises(DamagedError, match=f"{path.name} is damaged"):
        last_report(opened(filled))


def test_the_plan_of_who_only_reads_leaves_the_state_as_it_is(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    before = sorted(Path(filled["state"]).rglob("*"))
    listing, target = current_listing(corpus), corpus.target
    with planned_as_recorded(target, listing, target.recorded_ledger()) as con:
        assert con.execute("SELECT count(*) FROM to_upsert").fetchall() == [(0,)]
    with planned_as_recorded(target, listing, None) as con:
        assert con.execute("SELECT count(*) FROM to_upsert").fetchall() == [(12,)], "no index is known"
    assert sorted(Path(filled["state"]).rglob("*")) == before
