"""A report is believed only where a run may have written it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.store import LocalStore
from pinery.errors import DamagedError
from pinery.reports import RunReport
from pinery.steps.read_report import read_report

RUN = "20261126T172757485300Z-6c104f"
NAME = f"test/runs/{RUN}.json"


def written(tmp_path: Path, content: Any) -> LocalStore:
    """A state with one report."""
    path = tmp_path / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return LocalStore(tmp_path)


def test_what_a_run_wrote_is_read_and_so_is_what_an_earlier_version_wrote(made: dict[str, Any], tmp_path: Path) -> None:
    [path] = Path(made["state"], "test", "runs").iterdir()
    report = read_report(LocalStore(Path(made["state"])), f"test/runs/{path.name}")
    assert report == RunReport.from_dict(json.loads(path.read_text()))
    early = read_report(written(tmp_path, {"run": RUN, "state": "done", "of_a_later_version": 1}), NAME)
    assert early is not None
    assert (early.state, early.embedded) == ("done", None)


def test_a_report_that_is_gone_is_none(tmp_path: Path) -> None:
    assert read_report(LocalStore(tmp_path), NAME) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "can't be read"),
        (b"{", "can't be read"),
        (b"\xff\xfe\0", "can't be read"),
        ([], "an object, not list"),
        ({}, "names no run"),
        ({"run": "20261126T172757485300Z-ffffff"}, "names the run '20261126T172757485300Z-ffffff'"),
        ({"run": RUN, "embedded": "many"}, "embedded can't be 'many'"),
        ({"run": RUN, "embedded": True}, "embedded can't be True"),
        ({"run": RUN, "seconds": {"list": "1"}}, "seconds can't be"),
        ({"run": RUN, "seconds": [1]}, "seconds can't be"),
        ({"run": RUN, "not_indexed": {"quarantined": 3}}, "not_indexed can't be"),
        ({"run": RUN, "state": 3}, "state can't be 3"),
        ({"run": RUN, "started": "yesterday"}, "Invalid isoformat"),
        ({"run": RUN, "started": "2026-11-26T17:27:57"}, "no time zone"),
        ({"run": RUN, "workers": {"kind": "threads"}}, "missing 3 required"),
        ({"run": RUN, "targets": [1]}, "can't be read"),
    ],
    ids=str,
)
def test_anything_else_is_damage_that_names_the_file(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(DamagedError) as error:
        read_report(written(tmp_path, content), NAME)
    assert words in str(error.value)
    assert f"{tmp_path}/{NAME} is damaged" in str(error.value)
