"""A mistake in a config ends a deployment's run as Failed with one line; a command tells of it and starts no run."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli.launch import deploy
from tests.corpora import config
from tests.drills.rounds import rounds
from tests.prefect_server import PREFECT, ROOT, PrefectServer
from tests.processes import write_config

Settings = dict[str, Any]
MISTAKES: dict[str, tuple[Callable[[Settings], Settings], str]] = {
    "a wrong key": (lambda good: good | {"corpsu": "things"}, "did you mean `corpus`?"),
    "an unknown model": (lambda good: good | {"model": "resnet9000"}, "unknown model 'resnet9000'"),
    "an unknown architecture": (lambda good: good | {"model": "torchvision:resnet9000"}, "no classification model"),
    "a missing folder": (lambda good: good | {"source": {"kind": "folder", "path": "/no/folder"}}, "does not exist"),
    "a missing key of Pinecone": (lambda good: good | {"index": {"kind": "pinecone"}}, "no Pinecone API key"),
}
"""What is wrong, from a config that is right, and words of what is said."""
RUN = ("a wrong key", "an unknown model", "a missing folder", "a missing file", "a relative path inline")
"""The mistakes that a worker is given to run, which takes it seconds each."""
ENVIRONMENT = {"PINECONE_API_KEY": "", "TQDM_DISABLE": "1"}
SENT_AGAIN = re.compile(r"(?m)^.* Encountered retryable exception during request\..*\n(?:(?!\d\d:\d\d:\d\d\.).*\n)*")
"""What Prefect's client says at DEBUG of a request that it sends again: a line, and the stack trace of what it met."""


@pytest.fixture
def good(images: Path, tmp_path: Path) -> Settings:
    return config(images, tmp_path / "state") | {"corpus": "things"}


def mistaken(good: Settings, folder: Path) -> dict[str, tuple[str | Settings, str]]:
    """Each mistake as the parameter of a run: in a file, inline, or the path of a file that isn't there."""
    made: dict[str, tuple[str | Settings, str]] = {}
    for number, (name, (change, words)) in enumerate(MISTAKES.items()):
        made[name] = (str(write_config(folder / f"{number}.yaml", change(good))), words)
    made["a missing file"] = (str(folder / "absent.yaml"), "there is no config file")
    made["no YAML"] = (str(folder / "odd.yaml"), "is not YAML")
    (folder / "odd.yaml").write_text("corpus: [")
    inline = good | {"source": {"kind": "folder", "path": "images"}}
    return made | {
        "a relative path inline": (inline, "absolute"),
        "text inline": ("corpsu: a\ncorpus: a\n", "corpsu"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_a_deployments_run_fails_with_one_line_and_no_stack_trace_at_any_level(
    level: str, prefect: PrefectServer, good: Settings, tmp_path: Path
) -> None:
    runs: dict[str, tuple[str, str]] = {}
    path = str(write_config(tmp_path / "good.yaml", good))
    with temporary_settings({PREFECT_API_URL: prefect.url}):
        names = RUN if level == "DEBUG" else rounds(RUN, few=2)
        chosen = {name: one for name, one in mistaken(good, tmp_path).items() if name in names}
        for number, (name, (given, words)) in enumerate(chosen.items()):
            # A deployment each, so that they may run at once.
            flags = {"cron": None, "timezone": "UTC", "pool": "process", "name": f"{level}-{number}"}
            made = deploy(path, [], flags)["deployment"]
            identity = prefect.deployment(made)["id"]
            run = prefect.asked("POST", f"deployments/{identity}/create_flow_run", parameters={"config": given})
            runs[name] = (run["id"], words)
    command = (PREFECT, "worker", "start", "--pool", "process", "--run-once")
    printed = prefect.run(*command, PREFECT_LOGGING_LEVEL=level, **ENVIRONMENT)
    assert "Traceback" not in SENT_AGAIN.sub("", printed)
    for name, (identity, words) in runs.items():
        run = prefect.flow_run(identity)
        assert (run["state"]["type"], run["state"]["name"]) == ("FAILED", "ConfigError"), (name, run["state"])
        message = run["state"]["message"]
        assert (words in message, "\n" in message) == (True, False), (name, message)
        lines = [line for line in prefect.logged(run, 0) if "Traceback" in line or message in line]
        assert lines == [f"ConfigError: {message}"], name


@pytest.mark.slow
def test_a_command_tells_of_a_mistake_and_starts_no_flow_run(
    prefect: PrefectServer, good: Settings, tmp_path: Path
) -> None:
    before = prefect.asked("POST", "flow_runs/count")
    for name, (given, words) in mistaken(good, tmp_path).items():
        if not isinstance(given, str) or "\n" in given:
            continue  # a command takes no inline config
        command = [sys.executable, "-m", "flows.cli", "run", given, "--json"]
        environment = prefect.environment_with(PREFECT_LOGGING_LEVEL="DEBUG", **ENVIRONMENT)
        ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 2, (name, ended.stderr)
        assert words in json.loads(ended.stdout)["error"], name
        assert "Traceback" not in ended.stderr, name
    assert prefect.asked("POST", "flow_runs/count") == before
