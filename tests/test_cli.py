"""The command line from outside: what it imports, how it fails, and that the README knows every command and flag."""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from flows.cli import shown, shown_prune, shown_run, shown_status
from flows.cli.commands import main
from flows.cli.shown_run import COUNTS
from pinery.reports import Pruning, Removable, RunReport, Status, VerifyReport
from pinery.search.hits import Hit, Hits
from pinery.search.query import Answer

ROOT = Path(__file__).parent.parent
SLOW = ("torch", "prefect", "lancedb", "duckdb", "pandas", "pyarrow", "pinecone", "boto3", "transformers", "PIL")
COMMANDS = sorted(main.commands)


def pinery(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The finished command, run as people run it, in the repository's folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PINERY_DEBUG"}
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A config of an empty folder."""
    (tmp_path / "images").mkdir()
    path = tmp_path / "corpus.yaml"
    path.write_text("corpus: things\nsource: {kind: folder, path: images}\nmodel: descriptor\nstate: state\n")
    return str(path)


def flags(command: click.Command) -> list[str]:
    """The long flags of a command."""
    return [name for parameter in command.params for name in parameter.opts if name.startswith("--")]


# Help.


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["search", "-h"]], ids=" ".join)
def test_help_imports_nothing_slow(arguments: list[str]) -> None:
    code = f"""
import sys
from flows.cli.commands import main
try:
    main({arguments!r})
finally:
    print([name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_what_it_takes(command: str) -> None:
    done = pinery(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert main.commands[command].help
    shown = set(re.findall(r"--[a-z-]+", done.stdout))
    assert shown >= {*flags(main.commands[command]), "--json"}
    if command not in ("models", "init"):
        assert shown >= {"--set"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_has_each_command_and_flag(command: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"\bpinery {command}\b", readme)
    assert [flag for flag in flags(main.commands[command]) if not re.search(rf"{flag}(?![a-z-])", readme)] == []


def test_the_readme_names_no_command_that_there_is_not() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```", readme, re.DOTALL) + re.findall(r"`[^`\n]+`", readme))
    assert set(re.findall(r"\bpinery ([a-z]+)\b", code)) <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_examples_that_it_takes(command: str) -> None:
    text = CliRunner().invoke(main, [command, "--help"]).output
    examples = re.findall(r"^ +(pinery .*)$", text.partition("Examples:")[2], re.MULTILINE)
    assert examples
    for example in examples:
        _, name, *arguments = shlex.split(example)
        main.commands[name].make_context(name, arguments)
        for path in re.findall(r"configs/\S+|data/\S+", example):
            assert (ROOT / path).exists()


# Errors.


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_unknown_model_is_a_usage_error_that_names_the_nearest(config: str, command: str) -> None:
    done = pinery(command, config, "--set", "model=squeezenet1_1")
    assert done.returncode == 2
    assert "unknown model 'squeezenet1_1'; did you mean `torchvision:squeezenet1_1`?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["run", "configs/absent.yaml"],
            2,
            "there is no config file configs/absent.yaml; give the path of a YAML file, such",
        ),
        (["plan", "{config}", "--set", "sauce.kind=folder"], 2, "did you mean `source`?"),
        (["search", "{config}", "--id", "a", "--filter", "{{"], 2, "is not JSON"),
        (["search", "{config}", "--id", "a", "--filter", "[1]"], 2, "takes a JSON object, not '[1]'"),
        (["search", "{config}", "--id", "a"], 2, "pinery run"),
        (["upsert", "{config}", "--set", "state=s3://bucket/x", "--set", "index.kind=pine"], 2, "pine"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else "",
)
def test_with_json_an_error_is_one_object_on_stdout(config: str, arguments: list[str], code: int, words: str) -> None:
    done = pinery(*(argument.format(config=config) for argument in arguments), "--json")
    assert done.returncode == code
    found = json.loads(done.stdout)
    assert set(found) == {"error", "exit_code"}
    assert found["exit_code"] == code
    assert words in found["error"]
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "Missing argument 'CONFIG'"),
        (["fly"], "No such command 'fly'"),
        (["run", "{config}", "--fast"], "No such option '--fast'"),
        (["run", "{config}", "--limit", "0"], "Invalid value for '--limit'"),
        (["search", "{config}", "--top-k", "many"], "Invalid value for '--top-k'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_exits_with_2_and_no_stack_trace_and_with_json_one_object(
    config: str, arguments: list[str], words: str
) -> None:
    for more in ([], ["--json"]):
        done = pinery(*(argument.format(config=config) for argument in arguments), *more)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    assert found["exit_code"] == 2
    assert words in found["error"]


@pytest.mark.parametrize(
    ("grid", "words"), [("none/x.png", "there is no folder"), ("x.docx", "must end in one of .png")]
)
@pytest.mark.parametrize("command", [["search", "--id", "a"], ["show"]], ids=" ".join)
def test_a_picture_that_could_not_be_written_is_an_error_before_work(
    config: str, tmp_path: Path, command: list[str], grid: str, words: str
) -> None:
    name, *arguments = command
    done = pinery(name, config, *arguments, "--grid", str(tmp_path / grid))
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "none").exists()


def test_with_json_a_result_is_one_object_on_stdout(config: str) -> None:
    assert json.loads(pinery("models", "--json").stdout)["models"]
    found = json.loads(pinery("status", config, "--json").stdout)
    assert (found["corpus"], found["last_run"]) == ("things", None)


def ended(work: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command whose work is this Python, at the end of it."""
    code = f"""
import os, signal, sys
from flows.cli.ending import end
from pinery.errors import ConfigError, RefusedError, TerminalError
sys.argv = ["pinery", "run", "my corpus.yaml"]
class TerminationSignal(BaseException): ...
def work():
{textwrap.indent(textwrap.dedent(work), "    ")}
end(work, {"--json" in arguments})
"""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


AGAIN = "Run the same command again to go on: pinery run 'my corpus.yaml'"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        ("TerminalError('it broke.')", 1, f"pinery: it broke. {AGAIN}"),
        ("TerminalError('Run the same command again')", 1, "pinery: Run the same command again"),
        ("ConfigError('no such key')", 2, "pinery: no such key"),
        ("RefusedError('too many')", 3, "pinery: too many"),
        (
            "OSError('odd')",
            1,
            f"pinery: OSError: odd. This should not happen: set PINERY_DEBUG=1 to see where. {AGAIN}",
        ),
    ],
)
def test_a_failure_says_how_to_go_on_where_that_helps(error: str, code: int, line: str) -> None:
    done = ended(f"raise {error}")
    assert (done.returncode, done.stderr) == (code, line + "\n")


@pytest.mark.parametrize("prefect", [False, True], ids=["own handler", "Prefect's handler"])
@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("wrapped", [None, "ValueError('from C')", "TerminalError('from C')"])
def test_a_signal_is_told_as_one_even_if_its_exception_was_wrapped(
    prefect: bool, number: str, code: int, wrapped: str | None
) -> None:
    work = f"""
        def handle(number, frame):
            raise TerminationSignal
        if {prefect}:
            signal.signal(signal.SIGTERM, handle)
        try:
            os.kill(os.getpid(), signal.{number})
        except BaseException:
            if {wrapped} is None:
                raise
        raise {wrapped} from None
        """
    done = ended(work)
    assert (done.returncode, done.stderr) == (code, f"pinery: stopped by {number}; what is published stays. {AGAIN}\n")


# Results.


def test_ids_and_uris_are_printed_whole_and_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    name = "[bold]x[/red]" + "long/" * 200 + ":smile:.jpg"
    shown.matches(Answer(Hits((Hit(1, name, 0.5, {"label": "[/]"}, f"file:///{name}"),), "index", "key", 1), None))
    [heading, row] = capsys.readouterr().out.splitlines()
    assert heading.split() == ["score", "label", "id", "uri"]
    assert row.split() == ["0.5000", "[/]", name, f"file:///{name}"]


@pytest.mark.parametrize(
    ("strengths", "shares", "last"),
    [
        ((1.0, 0.99999, 0.98765), ["all pairs", "99.999 %", "98.7 %"], None),
        ((0.9499, 0.5, None), ["94.9 %", "50.0 %", ""], "no strong match: none is nearer than 95 % of random pairs"),
        ((0.9989999, 0.0, None), ["99.89 %", "0.0 %", ""], None),
    ],
    ids=["strong", "weak", "rounded-down"],
)
def test_beside_each_score_stands_what_it_means(
    strengths: tuple[float | None, ...], shares: list[str], last: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    hits = tuple(Hit(n, f"{n}.jpg", 0.5, {}, strength=one) for n, one in enumerate(strengths, 1))
    shown.matches(Answer(Hits(hits, "index", "key", 1, 0.95), None))
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.startswith("score   nearer than")
    assert [line[8:20].strip() for line in lines[:3]] == shares
    assert lines[3].startswith(last) if last else lines[3:] == [], lines


def test_the_status_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    last = {"run": "1", "state": "failed", "error": "no [/tmp/x] " + "y" * 300}
    rows = [{"id": "[/a]" + "z" * 300, "uri": "u", "reason": "[/b]"}]
    shown_status.status(Status("c", "[/s]", last_run=RunReport.from_dict(last), quarantined=tuple(rows)))
    out = capsys.readouterr().out
    for value in (last["error"], rows[0]["id"], "[/b]", "[/s]"):
        assert value in out


def test_the_status_tells_when_the_last_run_was_and_what_it_counted(capsys: pytest.CaptureFixture[str]) -> None:
    times = {"started": "2026-11-26T17:00:00+00:00", "finished": "2026-11-26T17:01:30+00:00"}
    last = {"run": "1", "state": "done", "listed": 1200, "new": 3, "embedded": 3, "upserted": 3, "moved": 0} | times
    shown_status.status(Status("c", "/s", last_run=RunReport.from_dict(last)))
    out = re.sub(" +\n", "\n", capsys.readouterr().out)
    assert re.search(r"^last run +1: done$", out, re.MULTILINE)
    assert re.search(r"^ended +2026-11-26 17:01:30\+00:00 \(after 0:01:30\)$", out, re.MULTILINE)
    assert re.search(r"^counts +listed 1,200  new 3  embedded 3  upserted 3$", out, re.MULTILINE)
    assert "left to do" not in out


def test_the_status_of_a_stopped_run_tells_when_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    times = {"started": "2026-11-26T17:00:00+00:00", "finished": "2026-11-26T17:01:30+00:00"}
    last = {"run": "1", "state": "stopped", "error": "stopped by SIGINT (Ctrl-C)", "listed": 1200} | times
    left = {"embed": 1100, "upsert": 7, "delete": 0}
    shown_status.status(Status("c", "/s", last_run=RunReport.from_dict(last), left=left))
    out = re.sub(" +\n", "\n", capsys.readouterr().out)
    assert re.search(r"^last run +1: stopped$", out, re.MULTILINE)
    assert re.search(r"^error +stopped by SIGINT", out, re.MULTILINE)
    assert re.search(r"^left to do +1,100 to embed, 7 to upsert; `pinery run` goes on with it$", out, re.MULTILINE)


COMPARED = {"run": "1", "model_key": "m", "kind": "lance", "index": "i", "namespace": "n", "corpus": "c", "held": 50,
            "extra": 0, "wrong": 0, "wrong_metadata": 0, "rounded": 0, "awaited": 0, "repaired": None,
            "differences": None, "seconds": {}}  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "missing", "checked", "full", "sample"),
    [(50, 0, 50, False, False), (50, 0, 20, False, True), (50, 2, 48, False, False), (50, 0, 50, True, False)],
)
def test_a_comparison_is_called_a_sample_only_where_it_is_one(
    expected: int, missing: int, checked: int, full: bool, sample: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"expected": expected, "missing": missing, "stale": 0, "checked": checked, "full": full}
    shown.comparison(VerifyReport.from_dict(COMPARED | counts))
    assert ("a sample; --full compares all" in capsys.readouterr().out) == sample


def test_a_limited_run_says_so_where_it_says_how_many_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    shown_run.run(RunReport.from_dict(QUIET | {"listed": 318, "limited": 10}))
    assert "318 (limited to the first 10)" in capsys.readouterr().out
    shown_run.run(RunReport.from_dict(QUIET | {"listed": 318}))
    assert "limited" not in capsys.readouterr().out


def test_status_and_report_name_what_nothing_keeps_true_and_what_was_not_recorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = {"kind": "lance", "index": "i", "namespace": "old", "model": "m", "remove": "pinery remove CONFIG --set x=y"}
    last = {"run": "1", "state": "refused", "moved": 3, "examples": [{"id": "a.jpg", "reason": "no image"}]}
    status = Status("c", "s", awaited=4, last_run=RunReport.from_dict(last), retired=(left,))
    shown_status.status(status)
    shown_run.run(RunReport.from_dict(QUIET | {"retired": [left]}))
    out = capsys.readouterr().out
    assert out.count("lance:i / old") == out.count("`pinery remove CONFIG --set x=y`") == 2
    for value in ("4 items not embedded yet", "3 items in the last run", "a.jpg", "no image"):
        assert value in out


def test_a_prune_says_what_would_go_what_went_and_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    items = (Removable("part", "c/k/parts/p.parquet", 1_500_000, "dead"), Removable("report", "c/runs/r", 999, "old"))
    shown_prune.pruning(Pruning("c", items))
    out = capsys.readouterr().out
    for value in ("c/k/parts/p.parquet", "1.5 MB", "dead", "999 bytes", "--yes does it", "nothing was changed"):
        assert value in out
    shown_prune.pruning(Pruning("c", items, items[:1]))
    out = capsys.readouterr().out
    assert "Removed 1 of 2: about 1.5 MB." in out
    assert "c/runs/r" not in out
    shown_prune.pruning(Pruning("c", ()))
    assert capsys.readouterr().out == "Corpus c has nothing to remove.\n"


QUIET = dict.fromkeys((*COUNTS, "quarantined", "rejected", "held", "attempted"), 0) | {
    "run": "1", "corpus": "c", "kind": "lance", "index": "i", "namespace": "n", "seconds": {}, "limited": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "nothing"),
    [({}, True), ({"unchanged": 3, "quarantined": 2}, True), ({"moved": 1}, False), ({"attempted": 1}, False),
     ({"limited": 5}, False), ({"upserted": 1}, False)],
    ids=str,
)  # fmt: skip
def test_nothing_changed_is_said_only_where_nothing_was_tried(
    changes: dict[str, int], nothing: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shown_run.run(RunReport.from_dict(QUIET | changes))
    assert ("Nothing changed" in capsys.readouterr().out) == nothing
