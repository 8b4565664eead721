"""The runs of an editable server: what they tell, and how each of their ends is told."""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from pinery.web.runs import Lines, Wish, ending, summary
from tests.processes import wait_until
from tests.web.serving import corpus, serving
from tests.web.test_editing import run_ended


def test_lines_are_read_as_they_come_whole_or_in_pieces() -> None:
    with tempfile.TemporaryFile() as file:
        lines = Lines(file.fileno())
        assert lines.new() == []
        file.write(b'{"stage": "embed", "done": 1')
        file.flush()
        assert lines.new() == []
        file.write(b'}\n[1]\npinery: it failed\n{"note": "x"}\n\n{')
        file.flush()
        assert lines.new() == [{"stage": "embed", "done": 1}, {"note": "x"}]
        assert lines.last == "it failed"


@pytest.mark.parametrize(
    ("code", "told", "last", "message", "allow"),
    [
        (0, {"listed": 12, "upserted": 1, "deleted": 0}, "", "1 upserted; 12 images are listed", False),
        (0, {"listed": 1200, "quarantined": 3}, "", "3 quarantined; 1,200 images are listed", False),
        (0, {"listed": 12}, "", "nothing to do; 12 images are listed", False),
        (3, {"error": "add --allow-deletes", "exit_code": 3}, "x", "add --allow-deletes", True),
        (3, {"error": "another run", "exit_code": 3}, "x", "another run", False),
        (1, {}, "it failed", "it failed", False),
        (1, {}, "", "the run ended with exit code 1", False),
        (-9, {}, "", "the run was killed by signal 9", False),
    ],
)
def test_how_a_run_ended_is_one_sentence(code: int, told: dict[str, Any], last: str, message: str, allow: bool) -> None:
    found = ending(code, told, last)
    assert found["message"].startswith(message)
    assert (found["exit_code"], found["allow_deletes"]) == (code, allow)


def test_a_wish_that_joins_another_asks_for_all_of_both() -> None:
    assert Wish().with_other(None).options() == []
    assert Wish().with_other(Wish(allow_deletes=True)).options() == ["--allow-deletes"]
    assert summary({}) == "nothing to do; 0 images are listed"


@pytest.mark.slow
def test_a_run_that_fails_or_is_killed_is_told_and_another_one_may_start(tmp_path: Path) -> None:
    made = corpus(tmp_path)
    with serving(made, "--editable", PINERY_TOKEN="a-token-of-this-server") as running:
        ask = {"authorization": "Bearer a-token-of-this-server"}
        with running.client(headers=ask) as client:
            assert client.post("/api/runs").status_code == 202
            server = psutil.Process(running.process.pid)
            wait_until(lambda: any("run" in one.cmdline() for one in server.children()))
            [run] = (one for one in server.children() if "run" in one.cmdline())
            assert run.environ()["PINERY_PROGRESS"] == "json"
            assert "a-token-of-this-server" not in json.dumps([run.cmdline(), run.environ()])
            run.send_signal(signal.SIGKILL)
            assert run_ended(client)["message"].startswith("the run was killed by signal 9")
            kept = made.read_text()
            made.write_text("corpus: [")
            assert client.post("/api/runs").status_code == 202
            told = run_ended(client)
            assert told["exit_code"] == 2
            assert str(made) in told["message"]
            made.write_text(kept)
            assert client.post("/api/runs").status_code == 202
            assert run_ended(client)["exit_code"] == 0
