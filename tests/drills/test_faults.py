"""A fifth of all requests to the index fail, or all of them for a while: the run waits, says so, and ends well."""

import subprocess
from pathlib import Path
from random import Random

import pytest

from tests.corpora import config
from tests.drills.changing import ChangingCorpus
from tests.drills.checks import NONE, check_fully, losses, run_here, undisturbed_rows
from tests.drills.conftest import Record
from tests.drills.rounds import at_length
from tests.pinecone_server.faults import KINDS
from tests.pinecone_server.server import PineconeServer
from tests.processes import start, write_config

SEED = 20261120
SHARE = 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "size"),
    [
        ("rest", 40),
        ("grpc", 40),
        pytest.param("rest", 400, marks=[pytest.mark.timeout(600), at_length]),
        pytest.param("grpc", 400, marks=[pytest.mark.timeout(600), at_length]),
    ],
)
def test_a_fifth_of_the_requests_fail(
    transport: str,
    size: int,
    tmp_path: Path,
    pinecone_server: PineconeServer,
    monkeypatch: pytest.MonkeyPatch,
    drill_record: Record,
) -> None:
    server = pinecone_server
    server.settings.grpc = transport == "grpc"
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    corpus = ChangingCorpus(tmp_path, Random(SEED), size)
    source = {"kind": "folder", "path": str(corpus.images), "sidecar": str(corpus.sidecar)}
    made = config(
        corpus.images,
        tmp_path / "state",
        source=source,
        index={"kind": "pinecone", "name": "things", "transport": transport},
        upsert={"max_concurrency": 4},
        run={"part_rows": 10},
    )
    path = write_config(tmp_path / "config.yaml", made)
    server.faults.plan(SEED, SHARE, retry_after=1, slow=0.5)
    assert run_here(path)["upserted"] == size
    corpus.change()
    corpus.relabel()
    done = run_here(path)
    assert (done["new"], done["changed"], done["deleted"]) == (6, 4, 4)
    server.faults.clear()

    data = [entry for entry in server.log.entries if entry.op in ("upsert", "delete", "query", "fetch", "stats")]
    failed = [entry.status for entry in data if entry.status != 200]
    if size > 100:
        assert {0, 429, 500, 503} <= set(failed), f"not every kind of {KINDS} came up"
    assert len(failed) > 0.1 * len(data)
    check_fully(path)
    cost = losses(path, undisturbed_rows(made, tmp_path))
    drill_record(f"a fifth of the requests fail ({transport})", 2, cost)
    assert cost == NONE


def until_it_waits(process: subprocess.Popen[str]) -> str:
    """The line in which the run says that it waits for its index."""
    assert process.stderr is not None
    for line in process.stderr:
        if "next try within" in line:
            return line
    raise AssertionError("the run never said that it waits")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "reset"),
    [
        (3, False),
        (3, True),
        pytest.param(60, True, marks=[pytest.mark.timeout(600), at_length]),
        pytest.param(60, False, marks=[pytest.mark.timeout(600), at_length]),
    ],
)
def test_an_outage_amid_the_upserts(
    seconds: int, reset: bool, tmp_path: Path, pinecone_environment: PineconeServer, drill_record: Record
) -> None:
    server, corpus = pinecone_environment, ChangingCorpus(tmp_path, Random(SEED), 60)
    made = config(corpus.images, tmp_path / "state", index={"kind": "pinecone", "name": "things"})
    path = write_config(tmp_path / "config.yaml", made)
    process = start("run", str(path), "--json")
    assert server.log.wait_for("upsert", 3, timeout=120)
    if seconds < 10:
        server.faults.begin_outage(reset)
    else:
        server.faults.outage(seconds, reset)
    told = until_it_waits(process)
    assert "Pinecone index things" in told, told
    assert "giving up in" in told, told
    if seconds < 10:
        server.faults.end_outage()
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert "Traceback" not in stdout + stderr
    check_fully(path)
    cost = losses(path, undisturbed_rows(made, tmp_path))
    drill_record(f"the index is away for {seconds} s amid the upserts", 1, cost)
    assert cost == NONE
