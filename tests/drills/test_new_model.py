"""A new model takes over while processes are killed: the end is as if none had been, and nothing is done twice."""

import itertools
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pinery.checkpoint.alias import Alias
from pinery.corpus.corpus import Corpus
from pinery.records import Stored
from pinery.search.searcher import Searcher
from tests.corpora import COLOURS, config, paint
from tests.drills.checks import NONE, Losses, check_fully, held, run_here
from tests.drills.conftest import Record
from tests.drills.rounds import EVERY, times
from tests.filled import opened
from tests.pinecone_server.server import PineconeServer
from tests.processes import POLL_SECONDS, pinery, start, write_config

SEED = 20261127
SIZE, LEAST_KILLS = 60, times(12, few=6)
KINDS = ["lance", "pinecone"]
NEW = '{"name": "descriptor", "decode": "scaled"}'
PART_ROWS = 5

Moment = Callable[[], bool]


class Images:
    """A folder of pictures to which each night adds some and from which it takes some."""

    def __init__(self, folder: Path, chooser: Random) -> None:
        self.folder, self._chooser, self._next = folder, chooser, 0
        self.add(SIZE)

    def add(self, count: int) -> None:
        for _ in range(count):
            label = list(COLOURS)[self._next % len(COLOURS)]
            paint(self.folder / f"{label}-{self._next:03}.jpg", label, self._next)
            self._next += 1

    def change(self) -> None:
        for path in self._chooser.sample(sorted(self.folder.iterdir()), 2):
            path.unlink()
        self.add(4)


def alias_of(path: Path) -> Alias:
    return opened(path).alias()[0]


def moments(path: Path, chooser: Random) -> dict[str, Moment]:
    """Return the moments at which a command that is about to start may be killed."""
    state, corpus = path.parent / "state", opened(path)
    before = corpus.alias()[0]

    def files(pattern: str) -> int:
        return len(list(state.glob(pattern)))

    parts, ledgers = files("test/*/parts/*.parquet"), files("test/indexes/*/*/*/ledger/*.parquet")
    until = time.monotonic() + chooser.uniform(0.3, 6.0)
    return {
        "a part": lambda: files("test/*/parts/*.parquet") > parts + chooser.randint(0, 1),
        "an entry": lambda: files("test/indexes/*/*/*/ledger/*.parquet") > ledgers,
        "the gate": lambda: files(".scratch/test/*/*/gate-*.parquet") > 0,
        "the alias": lambda: corpus.alias()[0] != before,
        "any": lambda: time.monotonic() >= until,
    }


def killed(process: subprocess.Popen[str], moment: Moment) -> bool:
    """Kill a process once the moment has come; return whether it was still at work."""
    while not moment() and process.poll() is None:
        time.sleep(POLL_SECONDS)
    ended = process.poll() is not None
    process.kill()
    process.communicate()
    return not ended


def all_rows(corpus: Corpus) -> dict[str, dict[str, Stored]]:
    """Return the rows of the live and the kept index, by the model's decoder."""
    alias = corpus.alias()[0]
    found = {}
    for entry in (alias.live, *alias.kept):
        assert entry is not None
        index = corpus.open_target(entry).index
        found[entry.card.decoder] = {id: one for page in index.list_ids() for id, one in index.fetch(page).items()}
    return found


def embedded_twice(corpus: Corpus) -> int:
    """Return how many (id, version) of a model more than one of its parts holds."""
    alias, twice = corpus.alias()[0], 0
    for entry in (alias.live, *alias.kept):
        assert entry is not None
        checkpoint = corpus.open_target(entry).checkpoint
        rows = [
            (id, version)
            for part in checkpoint.names()
            for batch in checkpoint.batches(part, ["id", "version"])
            for id, version in zip(batch["id"].to_pylist(), batch["version"].to_pylist(), strict=True)
        ]
        twice += len(rows) - len(set(rows))
    return twice


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_amid_backfill_gate_promotion_rollback_and_the_nights_between(
    kind: str, tmp_path: Path, pinecone_environment: PineconeServer, drill_record: Record
) -> None:
    chooser = Random(f"{SEED} {kind}")
    images = Images(tmp_path / "images", chooser)
    guards = {"part_rows": PART_ROWS, "delete_guard": 1.0, "change_guard": 1.0}
    made: dict[str, Any] = config(images.folder, tmp_path / "state", index={"kind": kind}, run=guards)
    path = write_config(tmp_path / "config.yaml", made)
    assert run_here(path)["embedded"] == SIZE
    kills, moment = 0, itertools.count(KINDS.index(kind))

    def at_last(*command: str, kill_at: tuple[str, ...]) -> None:
        """Start a command and kill it at each of these moments, and then let it end.

        Outside of `make drills` the two kinds take turns: each is killed at every second moment.
        """
        nonlocal kills
        for name in kill_at if EVERY else [name for name in kill_at if next(moment) % 2 == 0]:
            kills += killed(start(*command), moments(path, chooser)[name])
            assert pinecone_environment.log.wait_idle()
            known = min(images.folder.iterdir()).name
            assert Searcher(opened(str(path))).by_id(known, top_k=1).hits[0].id == known
        ended = pinery(*command)
        assert ended.returncode == 0 or "is live already" in ended.stderr, ended.stderr

    def name_of(decoder: str) -> str:
        return next(one.name for one in alias_of(path).entries() if one.card.decoder == decoder)

    at_last("backfill", str(path), "--model", NEW, kill_at=("a part", "an entry", "any", "the gate", "the alias"))
    images.change()
    at_last("run", str(path), kill_at=("a part", "an entry"))
    at_last("backfill", str(path), "--model", NEW, kill_at=("a part",))  # it is one night behind
    at_last("promote", str(path), "--index", name_of("scaled"), kill_at=("any", "the alias"))
    images.change()
    at_last("run", str(path), kill_at=("a part", "an entry", "any"))
    at_last("rollback", str(path), kill_at=())  # a second one would go forth again
    images.change()
    at_last("run", str(path), kill_at=("a part", "an entry", "any"))
    at_last("promote", str(path), "--index", name_of("scaled"), kill_at=("the alias",))
    images.change()
    at_last("run", str(path), kill_at=("any", "a part"))

    check_fully(path)
    corpus = opened(path)
    found, expected = all_rows(corpus), {decoder: alone(images, tmp_path, decoder) for decoder in ("exact", "scaled")}
    assert found.keys() == expected.keys()
    lost = sum(found[one].get(id) != row for one, rows in expected.items() for id, row in rows.items())
    doubled = sum(len(found[one].keys() - rows.keys()) for one, rows in expected.items())
    cost = Losses(lost, doubled, embedded_twice(corpus))
    drill_record(f"kill -9 amid a new model's backfill, promotion and rollback, {kind}", kills, cost)
    assert cost == NONE
    again = run_here(path)
    assert [(row["embedded"], row["upserted"]) for row in again["targets"]] == [(0, 0), (0, 0)]
    assert kills >= LEAST_KILLS, "most of the moments came before the command's end"


def alone(images: Images, folder: Path, decoder: str) -> dict[str, Stored]:
    """Return the rows of an index of its own after one undisturbed run with one of the two models."""
    model = {"name": "descriptor", "decode": decoder}
    made = config(images.folder, folder / f"alone-{decoder}", model=model, index={"kind": "lance"})
    path = write_config(folder / f"{decoder}.yaml", made)
    assert run_here(path)["verified"]
    return held(path)
