"""The history of a corpus comes from its reports, whatever else lies beside them; two runs are compared by theirs."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from pinery.config_file import load_config
from pinery.errors import ConfigError, DamagedError
from pinery.reports import PastRun
from pinery.steps.history import KEPT, compare_runs, history
from tests.corpora import config, paint
from tests.filled import bring, holding
from tests.s3_server import S3Server


def name_of(number: int) -> str:
    """The name of the run of a night."""
    return f"20261101T0300{number // 10:02}{number % 10:06}Z-{number:06x}"


def write_report(state: Path | str, number: int, /, **values: Any) -> str:
    """Write the report of a completed night that embedded a thousand images in ten seconds; return the run's name."""
    run = name_of(number)
    report = {
        "run": run, "corpus": "test", "model": "descriptor", "model_key": "k", "state": "done", "embedded": 1000,
        "started": "2026-11-01T03:00:00+00:00", "finished": "2026-11-01T03:00:10+00:00", "images_per_second": 100.0,
        "upserted": 1000, "deleted": 0, "quarantined": 0, "rejected": 0, "bottleneck": "infer",
    }  # fmt: skip
    path = Path(state, "test", "runs", f"{run}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report | values))
    return run


def newest(settings: dict[str, Any]) -> PastRun:
    return history(load_config(settings)).runs[0]


@pytest.fixture
def settings(images: Path, tmp_path: Path) -> dict[str, Any]:
    return config(images, tmp_path / "state")


def test_before_the_first_run_there_is_none_and_nothing_is_made(settings: dict[str, Any]) -> None:
    told = history(load_config(settings)).to_dict()
    assert told == {"corpus": "test", "state": settings["state"], "runs": [], "skipped": []}
    assert not Path(settings["state"]).exists()


def test_real_runs_are_told_newest_first(settings: dict[str, Any], images: Path) -> None:
    first = bring(settings)
    paint(images / "red-9.jpg", "red", 9)
    (images / "broken.jpg").write_bytes(b"no image")
    second = bring(settings)
    told = history(load_config(settings)).to_dict()["runs"]
    assert [one["run"] for one in told] == [second.run, first.run]
    assert [(one["state"], one["embedded"], one["upserted"], one["quarantined"]) for one in told] == [
        ("done", 1, 1, 1),
        ("done", 12, 12, 0),
    ]
    assert all(one["wall_seconds"] >= 0 and one["seconds"]["list"] >= 0 for one in told)


def test_the_last_ninety_are_told(settings: dict[str, Any]) -> None:
    names = [write_report(settings["state"], number) for number in range(KEPT + 3)]
    told = history(load_config(settings))
    assert [one.run for one in told.runs] == sorted(names, reverse=True)[:KEPT]


@pytest.mark.parametrize(
    ("values", "pace", "amount"),
    [
        ({}, None, None),
        ({"images_per_second": 79.0}, "slower", None),
        ({"images_per_second": 81.0}, None, None),
        ({"images_per_second": 130.0}, "faster", None),
        ({"embedded": 2500}, None, "more"),
        ({"embedded": 400}, None, "fewer"),
        ({"embedded": 3, "images_per_second": 2.0}, None, "fewer"),  # too small to be compared by its rate
        ({"embedded": 0, "images_per_second": 0.0}, None, "fewer"),
        ({"state": "failed", "images_per_second": 1.0}, None, None),
        ({"state": "refused", "embedded": None, "images_per_second": None, "finished": None}, None, None),
    ],
    ids=str,
)
def test_a_run_is_compared_with_the_median_of_the_completed_ones_before_it(
    settings: dict[str, Any], values: dict[str, Any], pace: str | None, amount: str | None
) -> None:
    for number, rate in enumerate((90.0, 100.0, 5000.0, 100.0)):
        write_report(settings["state"], number, images_per_second=rate)
    write_report(settings["state"], 5, state="failed", embedded=9, images_per_second=1.0)
    write_report(settings["state"], 9, **values)
    assert (newest(settings).pace, newest(settings).amount) == (pace, amount)


def test_two_runs_are_too_few_for_a_trend(settings: dict[str, Any]) -> None:
    for number in range(3):
        write_report(settings["state"], number, images_per_second=10.0**number)
    assert newest(settings).pace is None
    write_report(settings["state"], 3, images_per_second=1.0)
    assert newest(settings).pace == "slower"


def test_nights_without_change_are_compared_by_their_time_and_a_second_is_nothing(settings: dict[str, Any]) -> None:
    quiet: dict[str, Any] = {"embedded": 0, "images_per_second": 0.0}
    for number in range(3):
        write_report(settings["state"], number, **quiet, finished="2026-11-01T03:00:01+00:00")
    write_report(settings["state"], 3, **quiet, finished="2026-11-01T03:00:02+00:00")
    assert newest(settings).pace is None
    write_report(settings["state"], 4, **quiet, finished="2026-11-01T03:01:00+00:00")
    assert (newest(settings).pace, newest(settings).amount) == ("slower", None)


def test_a_run_under_way_is_told_and_one_that_says_so_alone_died(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        path = Path(filled["state"], held.run.corpus.paths.report(held.run.name))
        values = {"run": held.run.name, "state": "running", "model_key": held.target.card.key}
        path.write_text(json.dumps(values | {"started": "2026-11-26T03:00:00+00:00"}))
        assert [one.state for one in history(load_config(filled)).runs] == ["running", "done"]
    assert [one.state for one in history(load_config(filled)).runs] == ["died", "done"]


def test_what_is_no_report_is_named_and_the_others_are_told(settings: dict[str, Any]) -> None:
    good = write_report(settings["state"], 1)
    folder = Path(settings["state"], "test", "runs")
    (folder / f"{name_of(2)}.json").write_text("{")
    shutil.copy(folder / f"{good}.json", folder / f"{name_of(3)}.json")
    (folder / "notes (conflicted copy).json").write_text("{}")
    (folder / f"{name_of(4)}.parquet").write_text("")
    (folder / "folder").mkdir()
    (folder / ".hidden.json").write_text("{}")
    told = history(load_config(settings))
    assert [one.run for one in told.runs] == [good]
    assert sorted(Path(one["file"]).name for one in told.skipped) == [
        f"{name_of(2)}.json", f"{name_of(3)}.json", f"{name_of(4)}.parquet", "notes (conflicted copy).json"
    ]  # fmt: skip
    assert all(one["file"].startswith(str(folder)) and one["why"] for one in told.skipped)


def test_a_state_on_s3_has_its_history_too(settings: dict[str, Any], s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    for number in range(20):
        run = write_report(settings["state"], number)
        content = Path(settings["state"], "test", "runs", f"{run}.json").read_bytes()
        s3_server.client().put_object(Bucket=bucket, Key=f"pre/test/runs/{run}.json", Body=content)
    there = settings | {"state": f"s3://{bucket}/pre", "state_s3": {"endpoint_url": s3_server.endpoint_url}}
    assert len(history(load_config(there)).runs) == 20
    assert history(load_config(there)).runs == history(load_config(settings)).runs


def test_two_runs_are_compared_in_all_that_differs_and_nothing_else(settings: dict[str, Any]) -> None:
    same = {"decoder": "exact", "seconds": {"list": 1.0}, "left_out": {".txt": 2}, "index": "i"}
    first = write_report(settings["state"], 1, **same)
    changed = {"decoder": "fast", "seconds": {"list": 1.0, "embed": 9.5}, "left_out": {".txt": 2, ".pdf": 1}}
    more = {"embedded": 900, "images_per_second": 50.0, "reasons": {"not an image": 3}, "state": "failed", "error": "e"}
    workers = {"kind": "processes", "count": 4, "why": "4 GPUs", "gpu_busy": None}
    second = write_report(settings["state"], 2, **(same | changed | more), workers=workers)
    told = compare_runs(load_config(settings), first, second).to_dict()
    assert (told["run"], told["other"]) == (first, second)
    assert {(one["group"], one["name"]): (one["run"], one["other"]) for one in told["differences"]} == {
        ("settings", "decoder"): ("exact", "fast"),
        ("settings", "workers"): (None, "4 processes"),
        ("counts", "embedded"): (1000, 900),
        ("result", "state"): ("done", "failed"),
        ("result", "error"): (None, "e"),
        ("result", "images_per_second"): (100.0, 50.0),
        ("seconds", "embed"): (None, 9.5),
        ("left out", ".pdf"): (None, 1),
        ("quarantined in this run", "not an image"): (None, 3),
    }
    assert compare_runs(load_config(settings), first, first).differences == ()


def test_a_run_is_named_by_its_beginning_or_end(settings: dict[str, Any]) -> None:
    names = [write_report(settings["state"], number) for number in (1, 2, 31)]
    told = compare_runs(load_config(settings), "000001", names[2][:-3])
    assert (told.run, told.other) == (names[0], names[2])
    for given, words in (("", "no run"), ("ffffff", "no run of the name 'ffffff'"), ("2026", "3 runs of the name")):
        with pytest.raises(ConfigError, match=words):
            compare_runs(load_config(settings), given, names[0])


def test_a_damaged_report_can_not_be_compared(settings: dict[str, Any]) -> None:
    names = [write_report(settings["state"], number) for number in (1, 2)]
    Path(settings["state"], "test", "runs", f"{names[0]}.json").write_text("[]")
    with pytest.raises(DamagedError, match=names[0]):
        compare_runs(load_config(settings), *names)


def test_ninety_reports_are_read_within_a_second(settings: dict[str, Any]) -> None:
    for number in range(KEPT):
        write_report(settings["state"], number)
    began = time.monotonic()
    history(load_config(settings))
    assert time.monotonic() - began < 1
