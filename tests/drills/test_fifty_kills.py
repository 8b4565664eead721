"""Kills -9 in a row over two corpora that change all the while: nothing is lost, doubled or embedded twice."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.corpora import config
from tests.drills.changing import ChangingCorpus, Sent
from tests.drills.checks import NONE, check_fully, ledger_files, losses, parts, run_here, undisturbed_rows
from tests.drills.conftest import Record
from tests.drills.rounds import times
from tests.pinecone_server.server import PineconeServer
from tests.processes import POLL_SECONDS, report, start, write_config
from tests.s3_server import S3Server

SEED = 20261120
STAGES = ("list", "embed", "publish", "upsert", "ledger", "delete", "verify", "any")
ROUNDS = times(5, few=1)
"""The kills amid each stage."""
IMPORT_NAMESPACES = ("one", "two")[: times(2, few=1)]
"""Each has an import, which is killed five times."""
SIZE = 400
NO_GUARDS = {"part_rows": 500, "delete_guard": 1.0, "change_guard": 1.0}

Moment = Callable[[], bool]


def kill_at(moment: Moment, process: subprocess.Popen[str]) -> bool:
    """Kill the process once the moment has come; False where it ended well before."""
    while not moment():
        if process.poll() is not None:
            stdout, stderr = process.communicate()
            assert process.returncode == 0, stdout + stderr
            return False
        time.sleep(POLL_SECONDS)
    process.kill()
    process.communicate()
    return True


def moment_of(stage: str, chooser: Random, state: Path, server: PineconeServer) -> Moment:
    """Return the moment to kill a run that is about to start."""
    log, nth = server.log, chooser.randint(1, 9)
    if stage == "list":
        return lambda: any(state.glob(".scratch/test/*/*/listing.parquet"))
    if stage == "embed":
        return lambda: any(state.glob(".scratch/test/*/*/part-*.parquet"))
    if stage == "publish":
        before = len(parts(state))
        return lambda: len(parts(state)) > before + nth % 2
    if stage == "ledger":
        files = ledger_files(state)
        return lambda: len(ledger_files(state) - files) >= nth
    if stage == "any":
        until = time.monotonic() + chooser.uniform(1.0, 8.0)
        return lambda: time.monotonic() >= until
    if stage in ("upsert", "delete") and chooser.random() < 0.5:
        # The request is under way when its sender dies, and takes effect afterwards.
        return server.faults.block(stage, times=None).arrived.is_set
    op = "query" if stage == "verify" else stage
    enough = log.count(op) + (nth if op == "upsert" else 1)
    return lambda: log.count(op) >= enough


class Chain:
    """Runs over one state, most of them killed, while its corpus changes; and what they sent to the index again."""

    def __init__(self, path: Path, server: PineconeServer, corpus: ChangingCorpus, chooser: Random) -> None:
        self.kills = self.allowed = self.again = 0
        self._path, self._state = path, path.parent / "state"
        self._server, self._corpus, self._chooser = server, corpus, chooser
        self._sent = Sent(server, "things", "test", corpus)
        assert self._sent.count_run() == (SIZE, 0)
        # Two requests in flight or settled, and one that the ledger is about to note.
        self._at_risk = 3 * max(entry.records for entry in server.log.entries if entry.op == "upsert")
        assert 2 * self._at_risk < SIZE, "too small a corpus to tell a ledger that lags behind from one that doesn't"

    def kill_amid(self, stage: str) -> bool:
        """Change the corpus and kill a run amid a stage; False where it ended before."""
        self._corpus.change()
        if stage in ("upsert", "ledger"):
            self._corpus.relabel()
        before = parts(self._state)
        moment = moment_of(stage, self._chooser, self._state, self._server)
        killed = kill_at(moment, start("run", str(self._path)))
        self._server.faults.clear()
        assert self._server.log.wait_idle()
        assert before.items() <= parts(self._state).items(), "a published part was written again or removed"
        sent = self.count_sent()
        self.kills += killed
        self.allowed += min(self._at_risk, sent) if killed else 0
        return killed

    def count_sent(self) -> int:
        """Return how many rows the last run sent; rows that it sent again must have been in flight at a kill."""
        sent, again = self._sent.count_run()
        self.again += again
        assert self.again <= self.allowed, f"{again} rows were sent again; {self.allowed} could have been in flight"
        return sent


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_again_and_again_from_listing_to_verifying(
    tmp_path: Path, pinecone_environment: PineconeServer, drill_record: Record
) -> None:
    chooser = Random(SEED)
    corpus = ChangingCorpus(tmp_path, chooser, SIZE)
    source = {"kind": "folder", "path": str(corpus.images), "sidecar": str(corpus.sidecar)}
    index = {"kind": "pinecone", "name": "things"}
    made = config(
        corpus.images, tmp_path / "state", source=source, index=index, run=NO_GUARDS, upsert={"max_concurrency": 1}
    )
    first = write_config(tmp_path / "first.yaml", made)
    assert run_here(first)["upserted"] == SIZE
    path = write_config(tmp_path / "config.yaml", made | {"run": NO_GUARDS | {"part_rows": 5}})

    chain = Chain(path, pinecone_environment, corpus, chooser)
    stages = [stage for stage in STAGES for _ in range(ROUNDS)]
    chooser.shuffle(stages)
    for stage in stages:
        while not chain.kill_amid(stage):
            pass
    assert report("run", str(path))["verified"]
    chain.count_sent()
    print(f"{chain.again} rows were sent again, where {chain.allowed} could have been in flight")

    check_fully(path)
    cost = losses(path, undisturbed_rows(made, tmp_path))
    drill_record("kill -9 from listing to verifying", chain.kills, cost)
    assert cost == NONE
    assert run_here(path)["unchanged"] == len(corpus.numbers)


def import_moments(server: PineconeServer, s3_server: S3Server) -> dict[str, Callable[[], Moment]]:
    """Return the moments to kill the five runs of one import; each call prepares the server first."""
    log = server.log

    def starting() -> Moment:
        return server.faults.block("start_import", times=None).arrived.is_set

    def asked(status: str) -> Moment:
        server.hold_imports(status)
        enough = log.count("describe_import") + 1
        return lambda: log.count("describe_import") >= enough

    def entering() -> Moment:
        server.release_imports()
        enough = log.count("list") + 1
        return lambda: log.count("list") >= enough

    def exporting() -> Moment:
        enough = s3_server.count("PUT", "pinery/exports/") + 2
        return lambda: s3_server.count("PUT", "pinery/exports/") >= enough

    return {
        "export": exporting,
        "start": starting,
        "pending": lambda: asked("Pending"),
        "under way": lambda: asked("InProgress"),
        "enter": entering,
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_again_and_again_amid_imports(
    tmp_path: Path, pinecone_environment: PineconeServer, s3_server: S3Server, drill_record: Record
) -> None:
    server, corpus = pinecone_environment, ChangingCorpus(tmp_path, Random(SEED), 60)
    server.settings.s3_endpoint = s3_server.endpoint_url
    reach = {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
    index = {"kind": "pinecone", "name": "things", "integration_id": "reader"}
    made = config(
        corpus.images, f"s3://{s3_server.new_bucket()}/pinery", state_s3=reach, index=index, upsert={"load": "import"}
    )
    made["run"] = NO_GUARDS | {"part_rows": 10}
    kills = 0
    for number, namespace in enumerate(IMPORT_NAMESPACES, start=1):
        settings: dict[str, Any] = made | {"namespace": namespace}
        path = write_config(tmp_path / f"{namespace}.yaml", settings)
        for prepare in import_moments(server, s3_server).values():
            moment = prepare()
            assert kill_at(moment, start("run", str(path))), "the run ended before it was to be killed"
            kills += 1
            server.faults.clear()
            assert server.log.wait_idle()
            corpus.change()
        assert report("run", str(path))["verified"]
        assert len(server.imports("things").runs) == number, "every namespace is imported once"
        assert server.imports("things").disturbed == []
        check_fully(path)

    cost = losses(path, undisturbed_rows(made, tmp_path))
    drill_record("kill -9 amid a bulk import", kills, cost)
    assert cost == NONE
