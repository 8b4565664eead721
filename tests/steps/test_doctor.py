"""The doctor tells what is well and what is wrong with a corpus, and leaves everything as it was."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pinery.config_file import load_config
from pinery.errors import ConfigError
from pinery.reports import Check, Diagnosis
from pinery.steps.doctor import diagnose, judged
from tests.corpora import config
from tests.filled import bring, holding
from tests.s3_server import S3Server

ALL = ["source", "state", "index", "disk of state", "disk of cache", "weights", "device", "runner", "last run", "lease"]


def found(settings: Mapping[str, Any]) -> dict[str, Check]:
    """The checks by name."""
    return {one.name: one for one in diagnose(load_config(settings))}


def verdicts(settings: Mapping[str, Any]) -> set[str]:
    """The names of the checks that are not well."""
    return {one.name for one in found(settings).values() if one.verdict != "ok"}


@pytest.fixture
def settings(images: Path, tmp_path: Path) -> dict[str, Any]:
    return config(images, tmp_path / "state")


def test_before_the_first_run_all_is_well_and_nothing_is_made(settings: dict[str, Any]) -> None:
    told = found(settings)
    assert list(told) == ALL
    assert {one.verdict for one in told.values()} == {"ok"}
    assert "the first run makes the state" in told["state"].found
    assert told["last run"].found == "none yet"
    assert not Path(settings["state"]).exists()


def test_a_filled_corpus_is_well_and_left_as_it_was(filled: dict[str, Any]) -> None:
    before = sorted(Path(filled["state"]).rglob("*"))
    told = found(filled)
    assert list(told) == ALL
    assert {one.verdict for one in told.values()} == {"ok"}, told
    assert "/ test holds 12 rows" in told["index"].found
    assert told["last run"].found.endswith(": done")
    assert told["lease"].found == "nobody holds it"
    assert sorted(Path(filled["state"]).rglob("*")) == before


def test_the_holder_of_the_lease_is_told(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        lease = found(filled)["lease"]
        assert (lease.verdict, held.run.name in lease.found, "--wait" in lease.advice) == ("ok", True, True)


def test_a_source_that_is_not_there_is_wrong_and_the_rest_is_looked_at(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    missing = settings | {"source": {"kind": "folder", "path": str(tmp_path / "none")}}
    told = found(missing)
    assert list(told) == ALL
    assert verdicts(missing) == {"source"}
    assert f"folder {tmp_path}/none does not exist; correct `source.path`" in told["source"].found


def test_a_sidecar_that_is_not_there_is_wrong(settings: dict[str, Any], tmp_path: Path) -> None:
    source = settings["source"] | {"sidecar": str(tmp_path / "labels.csv")}
    assert "labels.csv does not exist; correct `source.sidecar`" in found(settings | {"source": source})["source"].found


def test_a_dataset_is_not_downloaded(settings: dict[str, Any], tmp_path: Path) -> None:
    source = {"kind": "torchvision", "datasets": ["CIFAR10"], "root": str(tmp_path / "sets")}
    told = found(settings | {"source": source})["source"]
    assert (told.verdict, "the first run downloads it" in told.found) == ("ok", True)
    assert not (tmp_path / "sets").exists()
    kept = found(settings | {"source": source | {"download": False}})["source"]
    assert (kept.verdict, "source.download: true" in kept.found) == ("wrong", True)
    unknown = found(settings | {"source": source | {"datasets": ["CIFAR11"]}})["source"]
    assert "did you mean CIFAR10" in unknown.found


def test_a_state_that_can_not_be_one_is_wrong_and_what_depends_on_it_is_left_out(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    told = found(settings | {"state": str(tmp_path / "file" / "state")})
    assert told["state"].verdict == told["index"].verdict == "wrong"
    assert list(told) == [name for name in ALL if name not in ("last run", "lease")]


@pytest.mark.parametrize("content", ["{", '{"format": 2, "id": "x"}'])
def test_a_state_of_another_kind_is_wrong(filled: dict[str, Any], content: str) -> None:
    Path(filled["state"], "state.json").write_text(content)
    assert found(filled)["state"].verdict == "wrong"


def test_a_state_on_s3_is_tried_and_left_as_it_was(settings: dict[str, Any], s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    remote = settings | {"state": f"s3://{bucket}/x", "state_s3": {"endpoint_url": s3_server.endpoint_url}}
    told = found(remote)
    assert "honours conditional writes" in told["state"].found
    assert "lance needs a local `state`" in told["index"].found
    assert s3_server.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3_server.fail(503, times=99, method="PUT")
    assert found(remote)["state"].advice.startswith("look whether it is up")
    s3_server.heal()
    s3_server.ignore_conditions("PUT")
    assert "doesn't honour conditional writes" in found(remote)["state"].found


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"quarantined": 3, "rejected": 1}, "ok", "done, 3 quarantined, 1 rejected"),
        ({"state": "failed", "error": "it broke"}, "wrong", "failed (it broke)"),
        ({"state": "refused", "error": "too many"}, "wrong", "refused (too many)"),
        ({"state": "running"}, "wrong", "died"),
        ({"state": "stopped", "error": "stopped by SIGINT"}, "warning", "stopped"),
        ({"embedded": "many"}, "warning", "is damaged"),
    ],
    ids=str,
)
def test_the_last_run_was_good_or_not(
    filled: dict[str, Any], changes: dict[str, Any], verdict: str, words: str
) -> None:
    [path] = Path(filled["state"], "test", "runs").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    last = found(filled)["last run"]
    assert (last.verdict, words in last.found) == (verdict, True), last


def test_a_lease_and_a_card_that_can_not_be_read_are_wrong(filled: dict[str, Any]) -> None:
    [lease] = Path(filled["state"], "test").glob("*/lease.json")
    lease.write_text("{")
    assert verdicts(filled) == {"lease"}
    Path(filled["state"], "test", "alias.json").unlink()  # which knows the card too
    [card] = Path(filled["state"], "models").glob("descriptor*.json")
    card.write_text("{")
    assert found(filled)["model"].verdict == "wrong"


def test_a_model_that_no_family_takes_is_an_error_of_the_config(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        list(diagnose(load_config(settings | {"model": "squeezenet1_1"})))


def test_what_nobody_foresaw_is_wrong_and_shows_no_secret() -> None:
    def fail() -> Check:
        raise RuntimeError("GET https://me:hidden@example.org/?token=hidden failed")

    told = judged("source", fail)
    assert told.verdict == "wrong"
    assert "RuntimeError: GET https://example.org/" in told.found
    assert "hidden" not in told.found


@pytest.mark.parametrize(
    ("verdicts", "worst", "code"),
    [((), "ok", 0), (("ok", "warning"), "warning", 0), (("warning", "wrong", "ok"), "wrong", 1)],
)
def test_the_worst_verdict_decides(verdicts: tuple[str, ...], worst: str, code: int) -> None:
    told = Diagnosis("c.yaml", tuple(Check("x", verdict, "") for verdict in verdicts))
    assert (told.verdict, told.exit_code, told.to_dict()["verdict"]) == (worst, code, worst)


def test_the_doctor_agrees_with_a_run_that_follows(settings: dict[str, Any]) -> None:
    assert verdicts(settings) == set()
    assert bring(settings).verified
    assert verdicts(settings) == set()
