"""The command plan from outside: its sections, its last line, its file, and the run that goes by it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from flows.cli.commands import main
from tests.corpora import paint
from tests.filled import bring, opened
from tests.pinecone_server.server import PineconeServer


def pinery(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def file(filled: dict[str, Any], tmp_path: Path) -> str:
    """The config file of a corpus with a live index, one new image and one image less."""
    images = tmp_path / "images"
    for label in ("red", "green", "blue"):
        for number in range(4):
            paint(images / f"{label}-{number}.jpg", label, number)
    path = tmp_path / "corpus.yaml"
    settings = filled | {"source": filled["source"] | {"path": str(images)}, "run": {"part_rows": 5, "change_guard": 1}}
    path.write_text(yaml.safe_dump(settings))
    bring(settings)
    paint(images / "red-9.jpg", "red", 9)
    (images / "blue-0.jpg").unlink()
    return str(path)


def test_a_plan_is_printed_by_sections_and_ends_with_the_action(file: str) -> None:
    done = pinery("plan", file)
    assert done.exit_code == 0, done.output
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line]
    told = {line[0]: line[1].strip() for line in lines if len(line) > 1}
    assert told["Added"] == "1: red-9.jpg"
    assert told["Removed"] == "1: blue-0.jpg"
    assert (told["Unchanged"], told["Changed"], told["Relabelled"], told["Quarantined"]) == ("11", "0", "0", "0")
    assert told["parts"] == "1"
    last = done.stdout.splitlines()[-1]
    assert last.startswith("Embed 1 image, write ")
    assert last.endswith(" to 1 index, delete 1 row from 1 index")


def test_a_rate_that_is_not_known_is_unknown_and_never_zero(file: str) -> None:
    for report in (Path(yaml.safe_load(Path(file).read_text())["state"]) / "test" / "runs").iterdir():
        report.unlink()
    assert "embedding 1 image: time unknown, images/s unknown" in " ".join(pinery("plan", file).stdout.split())
    estimate = json.loads(pinery("plan", file, "--json").stdout)["estimate"]
    assert (estimate["seconds"], estimate["images_per_second"]) == (None, None)


def test_the_json_has_what_is_promised(file: str) -> None:
    told = json.loads(pinery("plan", file, "--json").stdout)
    counts = {
        name: told[name]
        for name in ("new", "changed", "relabelled", "removed", "unchanged", "quarantined", "to_embed", "to_upsert")
    }
    assert counts == {
        "new": 1,
        "changed": 0,
        "relabelled": 0,
        "removed": 1,
        "unchanged": 11,
        "quarantined": 0,
        "to_embed": 1,
        "to_upsert": 1,
    }
    assert (told["to_delete"], told["refused"], len(told["targets"])) == (1, [], 1)
    assert told["serial"]
    assert told["estimate"]["write_units"] == 0
    assert told["estimate"]["dollars"] == {"low": 0, "expected": 0, "high": 0}


def test_with_nothing_to_do_it_says_so(file: str) -> None:
    bring(yaml.safe_load(Path(file).read_text()))
    assert pinery("plan", file).stdout.splitlines()[-1] == "Nothing to do"


def test_a_saved_plan_is_what_json_prints_and_other_flags_beside_it_are_wrong_usage(file: str, tmp_path: Path) -> None:
    out = str(tmp_path / "plan.json")
    told = json.loads(pinery("plan", file, "--out", out, "--limit", "12", "--json").stdout)
    assert json.loads(Path(out).read_text()) == told
    done = pinery("run", file, "--plan", out, "--limit", "3", "--json")
    assert done.exit_code == 2
    assert "--limit goes with making a plan" in json.loads(done.stdout)["error"]
    done = pinery("run", file, "--plan", out, "--allow-deletes")
    assert done.exit_code == 2
    assert "was made without it" in done.output
    done = pinery("run", file, "--plan", file)
    assert done.exit_code == 2
    assert "is not what `pinery plan CONFIG --out FILE` saves" in done.output
    assert pinery("plan", file, "--out", str(tmp_path / "absent" / "plan.json")).exit_code == 2


def test_a_run_does_the_saved_plan_once_and_then_refuses_it(file: str, tmp_path: Path, prefect_db: None) -> None:
    out = str(tmp_path / "plan.json")
    assert pinery("plan", file, "--out", out).exit_code == 0
    done = pinery("run", file, "--plan", out, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["embedded"] == 1
    done = pinery("run", file, "--plan", out, "--json")
    assert done.exit_code == 3
    assert "moved on" in json.loads(done.stdout)["error"]


def test_prices_are_those_of_the_config(file: str, pinecone_environment: PineconeServer) -> None:
    index = ["--set", "index={kind: pinecone}"]
    told = json.loads(pinery("plan", file, *index, "--json").stdout)["estimate"]
    assert told["dollars"]["expected"] == pytest.approx(told["write_units"] * 4e-6)
    shown = pinery("plan", file, *index, "--set", "prices={write_units: 1000000, date: 2027-02-03}").stdout
    assert f"${told['write_units']:,}.00" in shown
    assert "at prices of 2027-02-03" in shown
    shown = pinery("plan", file, *index, "--set", "prices.write_units=null").stdout
    assert "cost unknown, " in " ".join(shown.split())
    assert opened(yaml.safe_load(Path(file).read_text())).alias()[0].live is not None
