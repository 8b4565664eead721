"""The examples of docs/operations.md, in their order; and how the commands around a run look and end."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinery.corpus.open_run import open_run
from pinery.corpus.served import Served
from tests.corpora import config, paint
from tests.filled import opened
from tests.processes import messages, pinery, write_config
from tests.steps.pruned import with_retired_model

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SLOW = ("torch", "prefect", "lancedb", "duckdb", "pandas", "pinecone", "boto3", "transformers", "PIL")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder of photos."""
    for label in ("red", "blue"):
        for number in range(4):
            paint(tmp_path / "photos" / f"{label}-{number}.jpg", label, number)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path / "photos"


@pytest.mark.slow
def test_the_examples_of_the_page_work_in_their_order(photos: Path, prefect_db: None) -> None:
    blocks = re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line.split() for block in blocks for line in block.splitlines()]
    assert {line[1] for line in lines} == {"init", "run", "doctor", "plan", "runs", "prune"}
    outputs = []
    for _, *arguments in lines:
        if arguments[0] == "runs" and len(arguments) == 4:  # two runs, which have other names here
            runs = json.loads(pinery("runs", "photos.yaml", "--json").stdout)["runs"]
            arguments[2:] = [one["run"][-6:] for one in (runs[0], runs[-1])]
        done = pinery(*arguments) if arguments[0] == "run" else pinery(*arguments, PREFECT_API_URL="")
        assert done.returncode == 0, (arguments, done.stderr)
        outputs.append(done.stdout)
    said = "\n".join(outputs)
    for words in (
        "config photos.yaml for corpus photos",
        "embedded     8",
        "all is well",
        "Nothing to do",
        "runs of corpus photos",
        "has nothing to remove",
    ):
        assert words in said
    assert re.search(r"^counts +new +0 +8", said, re.MULTILINE)


def test_init_ends_with_a_usage_error_and_one_line_where_there_is_nothing_to_do(photos: Path) -> None:
    assert pinery("init", "photos").returncode == 0
    again = pinery("init", "photos")
    assert (again.returncode, len(messages(again))) == (2, 1)
    assert "photos.yaml is there already" in again.stderr
    forced = pinery("init", "photos", "--force", "--json")
    made = json.loads(forced.stdout)
    assert (made["config"], made["labels"], made["complete"]) == ("photos.yaml", ["blue", "red"], True)
    missing = pinery("init", "nowhere", "--json")
    assert (missing.returncode, json.loads(missing.stdout)["exit_code"]) == (2, 2)


@pytest.mark.slow
def test_the_doctor_ends_with_one_where_something_is_wrong(photos: Path, tmp_path: Path) -> None:
    path = str(write_config(tmp_path / "c.yaml", config(tmp_path / "none", tmp_path / "state")))
    done = pinery("doctor", path, PREFECT_API_URL="")
    assert done.returncode == 1
    assert re.search(r"^wrong +source +folder .*none does not exist", done.stdout, re.MULTILINE)
    assert re.search(r"^ok +state ", done.stdout, re.MULTILINE)
    assert done.stdout.rstrip().endswith("1 wrong, 0 warnings")
    told = json.loads(pinery("doctor", path, "--json", PREFECT_API_URL="").stdout)
    assert told["verdict"] == "wrong"
    assert {one["name"]: one["verdict"] for one in told["checks"]}["source"] == "wrong"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no config file"),
        ("[", "is not YAML"),
        ("corpus: x\nsauce: 1\n", "did you mean `source`?"),
        ("corpus: x\nsource: {kind: folder, path: .}\nmodel: resnet50\nstate: s\n", "torchvision:resnet50"),
        ("corpus: x\nsource: {kind: s3, uri: 's3://me:hidden@b'}\nmodel: descriptor\nstate: s\n", "hold no secrets"),
    ],
    ids=str,
)
def test_a_config_that_can_not_be_read_is_what_the_doctor_finds(
    tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_text(content)
    done = pinery("doctor", str(path), "--json", PREFECT_API_URL="")
    assert done.returncode == 1, done.stderr
    [check] = json.loads(done.stdout)["checks"]
    assert (check["name"], check["verdict"]) == ("config", "wrong")
    assert words in check["found"]
    assert "hidden" not in done.stdout


def test_runs_are_told_without_what_is_slow(tmp_path: Path, made: dict[str, Any]) -> None:
    path = str(write_config(tmp_path / "c.yaml", made))
    code = f"""
import sys
from flows.cli.commands import main
try:
    main(["runs", {path!r}])
finally:
    print([name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    assert re.search(r"^20\S+ +reindex +20\S+ \S+ +done +12 ", done.stdout, re.MULTILINE)


def test_of_no_runs_and_of_damaged_reports_one_is_told(photos: Path, tmp_path: Path) -> None:
    path = str(write_config(tmp_path / "c.yaml", config(photos, tmp_path / "state")))
    none = pinery("runs", path)
    assert (none.returncode, "none yet; `pinery run` makes the first one" in none.stdout) == (0, True)
    folder = tmp_path / "state" / "test" / "runs"
    folder.mkdir(parents=True)
    (folder / "20261126T172757485300Z-6c104f.json").write_text("{")
    done = pinery("runs", path)
    assert done.returncode == 0
    [warning] = messages(done)
    assert warning.startswith(f"WARNING: skipped {folder}/20261126T172757485300Z-6c104f.json: is damaged")


@pytest.mark.parametrize(
    ("names", "words"), [(["x"], "name another run after it"), (["x", "y"], "has no run of the name 'x'")]
)
def test_runs_that_are_not_there_can_not_be_compared(
    photos: Path, tmp_path: Path, names: list[str], words: str
) -> None:
    path = str(write_config(tmp_path / "c.yaml", config(photos, tmp_path / "state")))
    done = pinery("runs", path, *names)
    assert (done.returncode, words in done.stderr) == (2, True)


@pytest.mark.slow
def test_prune_refuses_while_a_run_holds_a_lease_and_then_removes_what_it_named(images: Path, tmp_path: Path) -> None:
    settings, old = with_retired_model(config(images, tmp_path / "state"))
    path = str(write_config(tmp_path / "config.yaml", settings))
    with open_run(opened(settings), lambda _: Served(old)):
        refused = pinery("prune", path, "--yes")
        assert (refused.returncode, len(messages(refused))) == (3, 1)
        assert "is writing this corpus" in refused.stderr
        named = json.loads(pinery("prune", path, "--json").stdout)
    assert [sorted(one) for one in named["removable"]] == [["bytes", "name", "what", "why"]] * 2
    assert named["removed"] == []
    done = json.loads(pinery("prune", path, "--yes", "--wait", "--json").stdout)
    assert done["removed"] == named["removable"] == done["removable"]
    assert "has nothing to remove" in pinery("prune", path).stdout
    assert not (tmp_path / "state" / "lance" / old.name).exists()
