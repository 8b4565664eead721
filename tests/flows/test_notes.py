"""Each note of a run is logged once, and an outage says how much patience is left."""

import logging

import pytest
from prefect import flow

from flows.progress import LoggedProgress, TerminalProgress
from pinery.indexes.engine import rough_duration


def test_the_same_note_from_many_requests_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = TerminalProgress()
    for text in ("503; giving up in 15 min", "503; giving up in 15 min", "503; giving up in 14 min"):
        shown.note(text)
    assert capsys.readouterr().err.splitlines() == ["503; giving up in 15 min", "503; giving up in 14 min"]


def test_in_prefect_a_note_is_a_warning_and_a_stage_is_none() -> None:
    levels: list[tuple[int, str]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            levels.append((record.levelno, record.getMessage()))

    @flow
    def noting() -> None:
        progress = LoggedProgress()
        progress.start("embed", 12345)
        progress.note("waiting for 100% of it")
        progress.note("waiting for 100% of it")

    logger = logging.getLogger("prefect.flow_runs")
    handler, level = Handler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        noting()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert (logging.INFO, "embed: 12,345 items") in levels
    assert [one for one in levels if one[0] == logging.WARNING] == [(logging.WARNING, "waiting for 100% of it")]


@pytest.mark.parametrize(
    ("seconds", "told"), [(900, "15 min"), (841, "15 min"), (121, "3 min"), (120, "120 s"), (11, "20 s"), (-1, "10 s")]
)
def test_patience_is_told_roughly(seconds: float, told: str) -> None:
    assert rough_duration(seconds) == told
