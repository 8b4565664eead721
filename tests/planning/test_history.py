"""Random histories of a corpus, crashing at any point: the index ends as the live rows, nothing is embedded twice."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pinery.planning.partition import ranges
from pinery.planning.plan import count_plan, define_plan

IDS = [f"image-{n}" for n in range(6)]
PART_ROWS = 2
BAD = "bad"


class Crash(Exception):
    """The process died here."""


@dataclass
class World:
    """A source, a checkpoint, a ledger and an index small enough to check by eye."""

    source: dict[str, tuple[str, str]] = field(default_factory=dict)  # id -> (version, metadata)
    parts: list[dict[tuple[str, str], str | None]] = field(default_factory=list)  # (id, version) -> error
    ledger: list[tuple[str, str | None, str | None, bool]] = field(default_factory=list)
    index: dict[str, tuple[str, str]] = field(default_factory=dict)
    rejected: list[tuple[str, str, str]] = field(default_factory=list)
    embeddings: list[tuple[str, str]] = field(default_factory=list)
    budget: int | None = None

    def step(self) -> None:
        """One observable effect; the process may die before it."""
        if self.budget is not None:
            if self.budget == 0:
                raise Crash
            self.budget -= 1

    def plan(self) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect()
        con.execute(
            "CREATE TABLE listing"
            " (id VARCHAR, uri VARCHAR, version VARCHAR, bytes BIGINT, metadata VARCHAR, position BIGINT)"
        )
        con.execute("CREATE TABLE checkpoint (part VARCHAR, id VARCHAR, version VARCHAR, error VARCHAR)")
        con.execute("CREATE TABLE ledger (id VARCHAR, version VARCHAR, metadata_hash VARCHAR, doubt BOOLEAN)")
        con.execute("CREATE TABLE rejected (id VARCHAR, version VARCHAR, metadata_hash VARCHAR)")
        rows = [(id, f"file:///{id}", v, 1, m, at) for at, (id, (v, m)) in enumerate(sorted(self.source.items()))]
        _fill(con, "listing", rows)
        _fill(
            con,
            "checkpoint",
            [(f"part-{n:08d}", *key, error) for n, part in enumerate(self.parts) for key, error in part.items()],
        )
        _fill(con, "ledger", self.fold())
        _fill(con, "rejected", self.rejected)
        define_plan(con, limit=None, retry_quarantined=False)
        return con

    def fold(self) -> list[tuple[object, ...]]:
        """The ledger's rows: the last acknowledgement of an id, and whether something was intended after it."""
        rows: dict[str, tuple[object, ...]] = {}
        for id, version, digest, deleted in self.ledger:
            if not deleted and version is None:
                rows[id] = (*rows.get(id, (id, None, None))[:3], True)
            else:
                rows[id] = (id, version, digest, False)
        return [row for row in rows.values() if row[1] is not None or row[3]]

    def run(self, budget: int | None) -> None:
        """A run that dies before its `budget`th effect."""
        self.budget = budget
        con = self.plan()
        work = con.execute("SELECT id, version FROM to_embed ORDER BY position").fetchall()
        for start, stop in ranges(len(work), PART_ROWS):
            self.step()  # embedding without publishing costs nothing that counts
            part = {(id, v): ("can't be read" if v.startswith(BAD) else None) for id, v in work[start:stop]}
            self.embeddings += list(part)
            self.parts.append(part)
        self.upsert()
        self.delete()

    def upsert(self) -> None:
        rows = self.plan().execute(
            "SELECT s.id, s.version, l.metadata, s.metadata_hash FROM to_upsert s JOIN listing l USING (position)"
        )
        found = rows.fetchall()
        self.step()
        self.ledger += [(id, None, None, False) for id, *_ in found]
        for id, version, metadata, digest in found:
            self.step()
            if metadata == '{"label":"refused"}':
                self.rejected.append((id, version, digest))
                continue
            self.index[id] = (version, metadata)
            self.step()
            self.ledger.append((id, version, digest, False))

    def delete(self) -> None:
        for (id,) in self.plan().execute("SELECT id FROM to_delete").fetchall():
            self.step()
            self.ledger.append((id, None, None, False))
            self.step()
            self.index.pop(id, None)
            self.step()
            self.ledger.append((id, None, None, True))

    def live(self) -> dict[str, tuple[str, str]]:
        """What the index must hold: listed, embedded, not refused."""
        good = {key for part in self.parts for key, error in part.items() if error is None}
        return {id: (v, m) for id, (v, m) in self.source.items() if (id, v) in good and m != '{"label":"refused"}'}


def _fill(con: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[object, ...]]) -> None:
    if rows:
        con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def put_(number: int, version: str) -> tuple[str, str, str, str]:
    return ("put", IDS[number], version, '{"label":"a"}')


versions = st.sampled_from(["v1", "v2", "v3", "bad1"])
labels = st.sampled_from(['{"label":"a"}', '{"label":"b"}', '{"label":"refused"}'])
put = st.tuples(st.just("put"), st.sampled_from(IDS), versions, labels)  # add, change, revert and re-label
remove = st.tuples(st.just("remove"), st.sampled_from(IDS))
rename = st.tuples(st.just("rename"), st.sampled_from(IDS), st.sampled_from(IDS))
crash = st.tuples(st.just("run"), st.integers(0, 20))
rerun = st.tuples(st.just("run"), st.none())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([put_(0, "v1"), ("run", 3), ("remove", IDS[0])])
@example([put_(0, "v1"), ("run", None), put_(0, "v2"), ("run", 3), put_(0, "v1")])
@example([put_(0, "v1"), put_(1, "v1"), ("run", None), ("remove", IDS[0]), ("run", 3), put_(0, "v1")])
@given(st.lists(st.one_of(put, put, remove, rename, crash, rerun), max_size=14))
def test_any_history_ends_with_the_index_equal_to_the_live_rows(history: list[tuple[object, ...]]) -> None:
    world = World()
    for event in history:
        match event:
            case ("put", str(id), str(version), str(label)):
                world.source[id] = (version, label)
            case ("remove", str(id)):
                world.source.pop(id, None)
            case ("rename", str(old), str(new)) if old in world.source:
                world.source[new] = world.source.pop(old)
            case ("run", budget):
                try:
                    world.run(budget)  # type: ignore[arg-type]  # drawn as int or None
                except Crash:
                    continue
    world.run(None)
    assert world.index == world.live()
    assert len(world.embeddings) == len(set(world.embeddings)), "a published part was embedded again"


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from(IDS), st.tuples(versions, labels)))
def test_a_second_run_has_nothing_to_do(source: dict[str, tuple[str, str]]) -> None:
    world = World(source=source)
    world.run(None)
    counts = count_plan(world.plan())
    assert (counts.to_embed, counts.to_upsert, counts.to_delete) == (0, 0, 0)
    assert (counts.new, counts.changed, counts.relabelled) == (0, 0, 0)
    assert counts.unchanged + counts.quarantined + counts.rejected == counts.listed
