"""Prefect keeps of a run's end the state's name, one line of log, and a page among its artifacts."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from flows.cli.launch import launch
from flows.corpus_flow import flow
from flows.outcome import Outcome
from flows.reindex import reindex
from flows.upsert import upsert
from flows.verify import verify
from pinery.checkpoint.lease import Lease
from pinery.errors import ConfigError, DifferentError, LeaseHeldError, RefusedError
from tests.corpora import config, paint
from tests.filled import opened
from tests.pinecone_server.server import PineconeServer
from tests.processes import wait_until, write_config
from tests.run_pages import said

SIGNED = "https://me:hunter22@127.0.0.1:9/w.pth?X-Amz-Signature=abcdef"


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def settings(images: Path, tmp_path: Path) -> dict[str, Any]:
    return config(images, tmp_path / "state")


class Lines(logging.Handler):
    """The messages of a flow run's loggers, from WARNING on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The lines of the log of the runs of this test."""
    handler = Lines()
    loggers = [logging.getLogger(f"prefect.{name}") for name in ("flow_runs", "task_runs", "engine")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.addHandler(handler)
        one.setLevel(logging.INFO)
    yield handler.lines
    for one, level in zip(loggers, levels, strict=True):
        one.removeHandler(handler)
        one.setLevel(level)


def newest(client: SyncPrefectClient) -> FlowRun:
    [run] = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
    return run


def artifacts(client: SyncPrefectClient, run: FlowRun) -> dict[str, Any]:
    """Return what is kept with a flow run, by key."""
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return {str(one.key): one.data for one in client.read_artifacts(artifact_filter=wanted)}


def artifact(client: SyncPrefectClient, run: FlowRun) -> dict[str, Any]:
    """Return what the page of a run says."""
    [text] = [str(data) for key, data in artifacts(client, run).items() if key.endswith(("-run", "-verify"))]
    return said(text)


def ends(
    client: SyncPrefectClient, lines: list[str], call: Callable[[], Any], kind: type[Exception], state: str
) -> dict[str, Any]:
    """The artifact of a run that raises `kind`: it is told in one line, and its state says how it ended."""
    del lines[:]
    with pytest.raises(kind):
        call()
    run = newest(client)
    assert run.state is not None
    assert (run.state.type, run.state.name) == ("FAILED", state)
    assert lines == [f"{state}: {run.state.message}"]
    told = artifact(client, run)
    assert (told["state"], told["error"]) == (state, run.state.message)
    return told


def test_runs_and_tasks_are_named_by_their_corpus_and_their_part(
    client: SyncPrefectClient, settings: dict[str, Any]
) -> None:
    reindex(settings)
    run = newest(client)
    assert re.fullmatch(r"test \d{4}-\d\d-\d\d \d\d:\d\d", run.name)

    def counted(pattern: str) -> int:
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])), limit=50)
        return sum(int(found[1]) for task in tasks if (found := re.fullmatch(pattern, task.name)))

    # Prefect's server records tasks a little later than they run.
    wait_until(lambda: counted(r"embed part-\d{8}, (\d+) images") == 12)
    wait_until(lambda: counted(r"upsert part-\d{8}, (\d+) rows") == 12)
    with pytest.raises(ConfigError):
        reindex({"corpus": "no/such"})
    assert newest(client).name.startswith("unreadable config 2")


def test_the_plan_of_a_run_is_its_first_page(client: SyncPrefectClient, settings: dict[str, Any]) -> None:
    reindex(settings)
    text = str(artifacts(client, newest(client))["pinery-test-plan"])
    assert text.startswith("# plan of corpus test\n")
    assert "## index pinery-descriptor-" in text
    for row in ("| Added | 12 |", "| Unchanged | 0 |", "| parts | 3 |"):
        assert row in text
    assert "- writing 12 rows" in text


def test_a_guards_refusal_names_the_flows_parameter(
    client: SyncPrefectClient, lines: list[str], settings: dict[str, Any], images: Path
) -> None:
    (images / "blue-0.jpg").write_bytes(b"no image")
    reindex(settings)
    for number in range(3):
        (images / f"red-{number}.jpg").unlink()
    told = ends(client, lines, lambda: reindex(settings), RefusedError, "Refused")
    assert "`allow_deletes` lets it pass" in told["error"]
    assert "--allow-deletes" not in told["error"]
    assert "`pinery run CONFIG --allow-deletes` (as a flow's parameter, allow_deletes: true)" in told["next"]
    assert (told["quarantined"], told["rejected"], told["corpus"]) == (1, 0, "test")
    assert told["quarantined: not an image that can be read (starts with b'no image')"] == 1


def test_a_held_lease_says_how_to_wait(client: SyncPrefectClient, lines: list[str], settings: dict[str, Any]) -> None:
    reindex(settings)
    corpus = opened(settings)
    lease = corpus.paths.lease(corpus.named.card.key)
    with Lease(corpus.store, lease, lambda: "another", 120, False, lambda holder: None):
        told = ends(client, lines, lambda: verify(settings), LeaseHeldError, "Refused")
    assert "wait: true" in told["next"]


@pytest.mark.parametrize("flow", [reindex, upsert, verify])
def test_a_wrong_config_is_one_line(client: SyncPrefectClient, lines: list[str], tmp_path: Path, flow: Any) -> None:
    path = str(tmp_path / "absent.yaml")
    told = ends(client, lines, lambda: flow(path), ConfigError, "ConfigError")
    assert told["next"] == f"correct the config, then `pinery plan {path}`"


def test_a_difference_is_told_with_its_counts(
    client: SyncPrefectClient, lines: list[str], settings: dict[str, Any]
) -> None:
    reindex(settings)
    opened(settings).target.index.delete(["red-0.jpg"])
    told = ends(client, lines, lambda: verify(settings), DifferentError, "Different")
    assert (told["missing"], told["extra"], told["held"]) == (1, 0, 11)
    assert "`pinery verify CONFIG --repair`" in told["next"]
    del lines[:]
    verify(settings, repair=True)
    told = artifact(client, newest(client))
    assert (told["state"], told["missing"], lines) == ("done", 0, [])


def test_what_is_left_out_is_a_warning_with_reasons(
    client: SyncPrefectClient,
    lines: list[str],
    images: Path,
    tmp_path: Path,
    pinecone_environment: PineconeServer,
) -> None:
    settings = config(images, tmp_path / "state", index={"kind": "pinecone"})
    (images / "red-1.jpg").write_bytes(b"no image")
    reindex(settings)
    del lines[:]
    paint(images / "red-9.jpg", "red", 9)
    pinecone_environment.faults.push("upsert", 400, times=1, body={"code": 3, "message": "not this one"})
    reindex(settings)
    told = artifact(client, newest(client))
    assert (told["state"], told["quarantined"], told["rejected"], told["embedded"]) == ("done", 1, 1, 1)
    assert told["rejected: not this one"] == 1
    [line] = lines
    assert line.startswith("not in the index as listed: 1 quarantined, 1 rejected (quarantined 1 times: not an image")
    assert line.endswith("; rejected 1 times: not this one); `pinery status CONFIG` lists them")
    assert told["next"] == "`pinery status CONFIG` lists what is left out, with reasons"


def test_a_fault_of_our_own_is_told_with_one_stack_trace_and_no_secret(
    client: SyncPrefectClient, lines: list[str]
) -> None:
    @flow("faulty")
    def faulty(config: str) -> Any:
        with Outcome("run", config) as outcome:
            raise LookupError(f"nothing at {SIGNED}")
        return outcome.end()

    with pytest.raises(LookupError):
        faulty("c.yaml")
    run = newest(client)
    assert run.state is not None
    assert run.state.message == "LookupError: nothing at https://127.0.0.1:9/w.pth. This should not happen"
    assert len(lines) == 2
    assert sum(line.count("Traceback") for line in lines) == 1
    assert "hunter22" not in "".join(lines)
    assert artifact(client, run)["next"] == "`pinery run c.yaml` goes on where this run was"


def test_an_artifact_that_can_not_be_made_fails_nothing(
    lines: list[str], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: SyncPrefectClient, artifact: Any) -> None:
        raise ConnectionError("the API is away")

    monkeypatch.setattr(SyncPrefectClient, "create_artifact", away)
    assert reindex(settings)["verified"]
    assert lines == [
        f"the artifact pinery-test-{kind} could not be made: ConnectionError: the API is away"
        for kind in ("plan", "progress", "run", "stages")
    ]


@pytest.mark.parametrize("as_text", [False, True], ids=["mapping", "JSON text"])
def test_a_secret_among_the_parameters_is_refused_before_prefect_keeps_it(
    client: SyncPrefectClient, settings: dict[str, Any], as_text: bool
) -> None:
    model = {"name": "torchvision:squeezenet1_1", "weights": SIGNED, "sha256": "0" * 64}
    given = settings | {"model": model}
    before = len(client.read_flow_runs(limit=200))
    with pytest.raises(ConfigError, match="has a password or a signature in its address") as error:
        reindex(json.dumps(given) if as_text else given)
    assert "hunter22" not in str(error.value)
    assert len(client.read_flow_runs(limit=200)) == before


@pytest.mark.parametrize("model", ["torchvision:resnet51", "squeezenet1_1"])
def test_a_command_judges_its_config_before_a_flow_run_is_made(
    client: SyncPrefectClient, settings: dict[str, Any], tmp_path: Path, model: str
) -> None:
    path = write_config(tmp_path / "config.yaml", settings)
    before = len(client.read_flow_runs(limit=200))
    with pytest.raises(ConfigError, match="did you mean"):
        launch("reindex", str(path), [f"model={model}"], {})
    assert len(client.read_flow_runs(limit=200)) == before


def test_a_config_may_be_given_as_json_text(settings: dict[str, Any], images: Path) -> None:
    assert reindex(json.dumps(settings, indent=2))["embedded"] == 12
    paint(images / "red-9.jpg", "red", 9)
    assert reindex(json.dumps(settings))["embedded"] == 1


@pytest.mark.parametrize("name", ["2024", "null", "1e3"])
def test_the_name_of_an_index_is_a_text_whatever_it_looks_like(settings: dict[str, Any], name: str) -> None:
    reindex(settings)
    report = upsert(settings, index=name)
    assert (report["index"], report["upserted"]) == (name, 12)


def test_no_name_is_no_index(settings: dict[str, Any]) -> None:
    reindex(settings)
    with pytest.raises(ConfigError, match=r"index\.name"):
        upsert(settings, index="")
