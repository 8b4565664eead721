"""Runs: the newest name sorts last, and one that doesn't move gives up."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.corpus.open_run import open_run, run_name
from pinery.errors import TerminalError
from tests.corpora import config
from tests.filled import opened
from tests.processes import wait_until

moments = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2090, 1, 1)).map(
    lambda d: d.replace(tzinfo=UTC)
)


@given(st.lists(moments, min_size=2, max_size=8))
def test_names_sort_in_the_order_of_the_runs_whatever_the_clocks_say(clocks: list[datetime]) -> None:
    names: list[str] = []
    for now in clocks:
        names.append(run_name(now, f"corpus/listings/{names[-1]}.parquet" if names else None))
    assert names == sorted(names)
    assert len({name.partition("-")[0] for name in names}) == len(names)


def test_a_run_without_progress_gives_up(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state", run={"stall_timeout": 0.2})
    with open_run(opened(settings)) as run:
        wait_until(lambda: run.stopping)
        with pytest.raises(TerminalError, match=r"no progress for 0\.2 s"):
            run.check()
