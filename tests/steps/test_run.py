"""Names of runs: the newest sorts last, always."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pinery.steps.run import run_name

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
