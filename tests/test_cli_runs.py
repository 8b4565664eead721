"""A user sees a run's summary, or one line that says what is wrong, and nothing of Prefect."""

import json
from pathlib import Path

import pytest

from tests.corpora import config
from tests.filled import opened
from tests.processes import messages, pinery, write_config


@pytest.mark.slow
def test_a_run_without_any_prefect_server(images: Path, tmp_path: Path) -> None:
    (images / "red-0.jpg").write_bytes(b"broken")
    path = write_config(tmp_path / "config.yaml", config(images, tmp_path / "state"))
    first = pinery("run", str(path), PREFECT_API_URL="", PREFECT_LOGGING_LEVEL="CRITICAL")
    assert first.returncode == 0, first.stderr
    assert "embedded     11" in first.stdout
    assert "verified" in first.stdout
    [warning] = messages(first)
    assert warning.startswith("WARNING: 1 quarantined and 0 rejected items are not in the index")
    second = pinery("run", str(path), "--json", PREFECT_API_URL="", PREFECT_LOGGING_LEVEL="CRITICAL")
    assert second.returncode == 0, second.stderr
    assert messages(second) == []
    report = json.loads(second.stdout)
    expected = {
        "run", "corpus", "model_key", "index", "listed", "new", "changed", "relabelled", "deleted", "unchanged",
        "moved", "embedded", "reused", "upserted", "quarantined", "rejected", "limited", "parts", "seconds",
        "images_per_second", "bottleneck", "verified",
    }  # fmt: skip
    assert expected <= report.keys()
    shown = pinery("status", str(path))
    assert "red-0.jpg" in shown.stdout
    searched = pinery("search", str(path), "--image", str(images / "red-1.jpg"), "--top-k", "2", "--json")
    [best, second_best] = json.loads(searched.stdout)["matches"]
    assert best["id"] == "red-1.jpg"
    assert best["metadata"] == {"label": "red"}
    assert best["uri"] == (images / "red-1.jpg").as_uri()
    assert best["score"] >= second_best["score"]
    drawn = pinery("show", str(path), "--grid", str(tmp_path / "sample.png"), "--count", "4")
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "sample.png").stat().st_size > 1000


@pytest.mark.slow
def test_verify_ends_with_one_while_a_difference_remains(images: Path, tmp_path: Path, prefect_db: None) -> None:
    path = write_config(tmp_path / "config.yaml", config(images, tmp_path / "state"))
    assert pinery("run", str(path)).returncode == 0
    opened(str(path)).target.index.delete(["red-0.jpg"])
    different = pinery("verify", str(path), "--json")
    assert different.returncode == 1
    counts = json.loads(different.stdout)
    assert [counts[name] for name in ("missing", "extra", "stale", "wrong", "wrong_metadata", "checked")] == [
        1, 0, 0, 0, 0, 11
    ]  # fmt: skip
    again = pinery("verify", str(path))
    assert again.returncode == 1
    [line] = messages(again)
    assert "1 missing; --repair upserts and deletes only the difference" in line
    assert counts["differences"].rpartition("/")[0] in again.stdout
    repaired = pinery("verify", str(path), "--repair")
    assert repaired.returncode == 0, repaired.stderr
    assert "1 upserted, 0 deleted" in repaired.stdout


@pytest.mark.slow
def test_remove_asks_for_a_yes(images: Path, tmp_path: Path, prefect_db: None) -> None:
    path = write_config(tmp_path / "config.yaml", config(images, tmp_path / "state"))
    assert pinery("run", str(path)).returncode == 0
    counted = pinery("remove", str(path))
    assert (counted.returncode, "(12 rows); nothing was changed. --yes does it" in counted.stdout) == (0, True)
    removed = pinery("remove", str(path), "--yes", "--json")
    assert json.loads(removed.stdout)["removed"]
    assert opened(str(path)).target.index.count() == 0


@pytest.mark.slow
def test_a_users_mistake_is_one_line_on_stderr(images: Path, tmp_path: Path, prefect_db: None) -> None:
    path = write_config(tmp_path / "config.yaml", config(images, tmp_path / "state"))
    ended = pinery("run", str(path), "--set", f"source.path={tmp_path / 'none'}")
    assert ended.returncode == 2
    [line] = messages(ended)
    assert line.startswith("pinery: folder")
    assert "none does not exist" in line
    refused = pinery("run", str(path), "--limit", "500", "--json")
    assert refused.returncode == 2
    assert "above the 12 items" in json.loads(refused.stdout)["error"]


def test_a_refusal_is_one_line_on_stderr(images: Path, tmp_path: Path, prefect_db: None) -> None:
    path = write_config(tmp_path / "config.yaml", config(images, tmp_path / "state"))
    assert pinery("run", str(path)).returncode == 0
    for number in range(4):
        (images / f"red-{number}.jpg").unlink()
    refused = pinery("run", str(path))
    assert refused.returncode == 3
    [line] = messages(refused)
    assert line.startswith("pinery: ")
    assert "delete_guard" in line


@pytest.mark.slow
def test_a_dead_prefect_api_is_named_without_its_credentials(images: Path, tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.yaml", config(images, tmp_path / "state"))
    ended = pinery("run", str(path), PREFECT_API_URL="http://me:hidden@127.0.0.1:9/api")
    assert ended.returncode == 1
    [line] = messages(ended)
    assert line.startswith("pinery: PREFECT_API_URL=http://127.0.0.1:9/api does not answer; start that server or unset")
    assert line.endswith(f"Run the same command again to go on: pinery run {path}")
