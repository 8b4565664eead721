"""Lines that report a run's progress where stderr is no terminal."""

import io
import json
import logging
import threading
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.context import FlowRunContext

from flows.progress import JsonProgress, LineProgress, LoggedProgress
from flows.progress_artifact import BarOnPage
from pinery.corpus.progress import Silent


class Lines(io.StringIO):
    """Takes what is printed, and tells when another line has come."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Condition()

    def write(self, text: str) -> int:
        """Keep the text and wake whoever waits."""
        with self.came:
            written = super().write(text)
            self.came.notify_all()
        return written

    def next_line(self, with_text: str) -> str:
        """The next line that has this text; fails if none comes."""
        with self.came:
            seen = self.tell()
            assert self.came.wait_for(lambda: with_text in self.getvalue()[seen:].rpartition("\n")[0], timeout=30)
            return next(line for line in self.getvalue()[seen:].splitlines() if with_text in line)


def test_a_line_comes_now_and_then_with_what_moves() -> None:
    out = Lines()
    progress = LineProgress(seconds=0.02, out=out)
    with progress.shown():
        progress.start("list", None)
        progress.advance("list", 12_000)
        assert out.next_line("list").startswith("pinery: list 12,000 (after ")
        progress.start("embed", 5000)
        progress.start("upsert", 5000)
        progress.advance("embed", 1234)
        assert "embed 1,234 of 5,000, upsert 0 of 5,000 (after " in out.next_line("embed 1,234")
        progress.advance("upsert", 7)
        line = out.next_line("upsert 7")
        assert "embed" not in line, "it did not move since"
        progress.note("waiting for the index")
        assert "waiting for the index\n" in out.getvalue()
        assert "upsert 7 of 5,000" in out.next_line("upsert 7"), "a line comes also where nothing moves"


def test_a_program_that_started_the_run_gets_lines_of_json() -> None:
    out = Lines()
    progress = JsonProgress(seconds=0.02, out=out)
    with progress.shown():
        progress.start("list", None)
        assert json.loads(out.next_line("list")) == {"stage": "list", "done": 0, "total": None}
        progress.start("embed", 5000)
        progress.advance("embed", 1234)
        assert json.loads(out.next_line("1234")) == {"stage": "embed", "done": 1234, "total": 5000}
        progress.note('waiting for "it"')
        assert {"note": 'waiting for "it"'} in map(json.loads, out.getvalue().splitlines())
        progress.advance("embed", 3766)
    last = out.getvalue().splitlines()[-1]
    assert json.loads(last) == {"stage": "embed", "done": 5000, "total": 5000}, "what moved last is told at the end"


def test_a_short_run_says_nothing() -> None:
    out = Lines()
    with LineProgress(seconds=3600, out=out).shown():
        pass
    assert out.getvalue() == ""


def test_the_log_of_a_run_has_a_line_for_each_quarter_however_large_it_is(caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def large() -> None:
        progress = LoggedProgress()
        progress.start("list", None)
        for stage in ("embed", "upsert"):
            progress.start(stage, 1_000_000)
        progress.start("delete", 0)
        for _ in range(1000):
            progress.advance("embed", 1000)
            progress.advance("upsert", 1000)

    with caplog.at_level(logging.INFO, "prefect.flow_runs"):
        large()
    said = [one.getMessage() for one in caplog.records if one.module == "progress"]
    assert said[:3] == ["list", "embed: 1,000,000 items", "upsert: 1,000,000 items"]
    assert [line for line in said if line.startswith("embed: ")][1:] == [
        f"embed: {done} of 1,000,000 items" for done in ("250,000", "500,000", "750,000")
    ]
    assert len(said) == 9


def test_the_bar_of_a_run_on_prefects_pages_follows_what_the_plan_has() -> None:
    @flow
    def barred() -> UUID:
        bar = BarOnPage(Silent(), "A corpus", seconds=0)
        bar.start("list", None)
        bar.start("embed", 30)
        bar.start("upsert", 30)
        bar.advance("embed", 30)
        bar.advance("upsert", 15)
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        return context.flow_run.id

    run = barred()
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        [made] = client.read_artifacts(artifact_filter=wanted)
    assert (made.key, made.type, made.data) == ("pinery-a-corpus-progress", "progress", 75.0)
