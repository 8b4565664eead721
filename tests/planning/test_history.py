"""Random histories of a corpus, crashing at any point: the indexes end as the live rows, nothing is embedded twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pinery.planning.differences import define_differences
from pinery.planning.partition import ranges
from pinery.planning.plan import count_plan, define_plan

IDS = [f"image-{n}" for n in range(6)]
PART_ROWS = 2
BAD = "bad"
REFUSED = '{"label":"refused"}'
UNFIT = "infinity"
"""Stands for metadata that the listing itself knows no index to take."""

CON = duckdb.connect(config={"threads": 1})
"""One for all plans, which define all that they use anew: opening another costs more than a plan."""
TABLES = {
    "listing": "id TEXT, uri TEXT, version TEXT, bytes BIGINT, metadata TEXT, error TEXT, position BIGINT",
    "checkpoint": "part TEXT, id TEXT, version TEXT, error TEXT",
    "ledger": "id TEXT, version TEXT, metadata_hash TEXT, doubt BOOLEAN",
    "rejected": "id TEXT, version TEXT, metadata_hash TEXT",
    "held": "id TEXT",
}

Listing = dict[str, tuple[str, str]]
"""id -> (version, metadata)"""


class Crash(Exception):
    """The process died here."""


@dataclass
class Target:
    """One index over the checkpoint, and what is recorded of it."""

    ledger: list[tuple[str, str | None, str | None, bool]] = field(default_factory=list)
    index: Listing = field(default_factory=dict)
    rejected: list[tuple[str, str, str]] = field(default_factory=list)

    def fold(self) -> list[tuple[object, ...]]:
        """The ledger's rows: the last acknowledgement of an id, and whether something was intended after it."""
        rows: dict[str, tuple[object, ...]] = {}
        for id, version, digest, deleted in self.ledger:
            if not deleted and version is None:
                rows[id] = (*rows.get(id, (id, None, None))[:3], True)
            else:
                rows[id] = (id, version, digest, False)
        return [row for row in rows.values() if row[1] is not None or row[3]]


@dataclass
class World:
    """A source, a checkpoint and two indexes small enough to check by eye."""

    source: Listing = field(default_factory=dict)
    parts: list[dict[tuple[str, str], str | None]] = field(default_factory=list)  # (id, version) -> error
    targets: tuple[Target, Target] = field(default_factory=lambda: (Target(), Target()))
    listing: Listing = field(default_factory=dict)
    """The current one."""
    embeddings: list[tuple[str, str]] = field(default_factory=list)
    budget: int | None = None
    planned: object = None
    """The present content of the tables."""

    def step(self) -> None:
        """One observable effect; the process may die before it."""
        if self.budget is not None:
            if self.budget == 0:
                raise Crash
            self.budget -= 1

    def plan(self, target: Target, limit: int | None = None) -> duckdb.DuckDBPyConnection:
        con, counts = CON, (len(self.parts), len(target.ledger), len(target.rejected))
        state = (id(self), id(target), limit, tuple(self.listing.items()), counts)
        if state == self.planned:
            return con
        self.planned = state
        for table, columns in TABLES.items():
            con.execute(f"CREATE OR REPLACE TABLE {table} ({columns})")
        items = enumerate(sorted(self.listing.items()))
        rows = [(key, key, v, 1, *(("{}", m) if m == UNFIT else (m, None)), at) for at, (key, (v, m)) in items]
        _fill(con, "listing", rows)
        _fill(
            con,
            "checkpoint",
            [(f"part-{n:08d}", *key, error) for n, part in enumerate(self.parts) for key, error in part.items()],
        )
        _fill(con, "ledger", target.fold())
        _fill(con, "rejected", target.rejected)
        define_plan(con, limit=limit, retry_quarantined=False)
        return con

    def run(
        self,
        budget: int | None,
        number: int = 0,
        limit: int | None = None,
        moving: Mapping[str, str | None] | None = None,
    ) -> None:
        """A run into one of the indexes that dies before its `budget`th effect.

        While it embeds, the items of `moving` get another version, or vanish where that is None.
        """
        self.budget = budget
        self.listing = dict(self.source)
        limit = None if limit is None else min(limit, len(self.listing))
        work = self.plan(self.targets[number], limit).execute("SELECT id, version FROM to_embed ORDER BY position")
        self.move(moving or {})
        self.embed(work.fetchall())
        self.bring(number, limit)

    def fill(self, number: int) -> None:
        """Bring one index to the current listing without embedding anything."""
        self.budget = None
        self.bring(number, None)

    def move(self, moving: Mapping[str, str | None]) -> None:
        for id in moving.keys() & self.source.keys():
            version = moving[id]
            if version is None:
                del self.source[id]
            else:
                self.source[id] = (version, self.source[id][1])

    def embed(self, work: list[tuple[str, str]]) -> None:
        for start, stop in ranges(len(work), PART_ROWS):
            self.step()  # embedding without publishing costs nothing that counts
            there = [(id, v) for id, v in work[start:stop] if self.source.get(id, ("",))[0] == v]
            self.embeddings += there
            if there:
                self.parts.append({(id, v): ("can't be read" if v.startswith(BAD) else None) for id, v in there})

    def bring(self, number: int, limit: int | None) -> None:
        target = self.targets[number]
        self.upsert(target, limit)
        if limit is None:
            self.delete(target)
            self.verify(target)

    def upsert(self, target: Target, limit: int | None) -> None:
        rows = self.plan(target, limit).execute(
            "SELECT s.id, s.version, l.metadata, s.metadata_hash FROM to_upsert s JOIN listing l USING (position)"
        )
        found = rows.fetchall()
        self.step()
        target.ledger += [(id, None, None, False) for id, *_ in found]
        for id, version, metadata, digest in found:
            self.step()
            if metadata == REFUSED:
                target.rejected.append((id, version, digest))
                continue
            target.index[id] = (version, metadata)
            self.step()
            target.ledger.append((id, version, digest, False))

    def delete(self, target: Target) -> None:
        for (id,) in self.plan(target).execute("SELECT id FROM to_delete").fetchall():
            listed = self.listing.get(id)
            assert listed is None or listed[1] in (REFUSED, UNFIT) or self.is_bad((id, listed[0])), "it only moved"
            self.step()
            target.ledger.append((id, None, None, False))
            self.step()
            target.index.pop(id, None)
            self.step()
            target.ledger.append((id, None, None, True))

    def verify(self, target: Target) -> None:
        """Check what `pinery verify` finds after a run that came to its end."""
        con = self.plan(target)
        con.execute("DELETE FROM held")
        _fill(con, "held", [(id,) for id in target.index])
        define_differences(con)
        assert con.execute("SELECT * FROM difference").fetchall() == []
        counts = count_plan(con)
        assert (counts.to_upsert, counts.to_delete) == (0, 0)
        assert counts.held <= len(target.index) <= counts.perhaps_held

    def is_bad(self, key: tuple[str, str]) -> bool:
        return any(part.get(key) is not None for part in self.parts)

    def live(self) -> Listing:
        """Return the rows that an index must hold: listed, embedded, not refused."""
        good = {key for part in self.parts for key, error in part.items() if error is None}
        return {id: (v, m) for id, (v, m) in self.source.items() if (id, v) in good and m not in (REFUSED, UNFIT)}


def _fill(con: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[object, ...]]) -> None:
    if rows:
        places = ", ".join(f"({', '.join('?' * len(row))})" for row in rows)
        con.execute(f"INSERT INTO {table} VALUES {places}", [value for row in rows for value in row])


def put_(number: int, version: str) -> tuple[str, str, str, str]:
    return ("put", IDS[number], version, '{"label":"a"}')


def run_(
    budget: int | None = None, number: int = 0, limit: int | None = None, **moving: str | None
) -> tuple[object, ...]:
    return ("run", budget, number, limit, {IDS[int(key[1:])]: version for key, version in moving.items()})


versions = st.sampled_from(["v1", "v2", "v3", "bad1"])
labels = st.sampled_from(['{"label":"a"}', '{"label":"b"}', REFUSED, UNFIT])
targets = st.sampled_from([0, 0, 1])
moves = st.dictionaries(st.sampled_from(IDS), st.sampled_from(["v2", "v4", "bad2", None]), max_size=3)
put = st.tuples(st.just("put"), st.sampled_from(IDS), versions, labels)  # add, change, revert and re-label
remove = st.tuples(st.just("remove"), st.sampled_from(IDS))
rename = st.tuples(st.just("rename"), st.sampled_from(IDS), st.sampled_from(IDS))
crash = st.tuples(st.just("run"), st.integers(0, 20), targets, st.none(), moves)
rerun = st.tuples(st.just("run"), st.none(), targets, st.none(), moves)
limited = st.tuples(st.just("run"), st.none() | st.integers(0, 20), targets, st.integers(1, 6), moves)
fill = st.tuples(st.just("fill"), targets)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([put_(0, "v1"), run_(3), ("remove", IDS[0])])
@example([put_(0, "v1"), run_(), put_(0, "v2"), run_(3), put_(0, "v1")])
@example([put_(0, "v1"), put_(1, "v1"), run_(), ("remove", IDS[0]), run_(3), put_(0, "v1")])
@example([put_(0, "v1"), run_(), put_(0, "v2"), run_(i0="v3"), run_(i0="v4")])  # never seen at rest
@example([put_(0, "v1"), run_(), put_(0, "v2"), run_(i0=None), run_()])  # vanished after it was listed
@example([put_(0, "v1"), run_(3), put_(0, "v2"), run_(i0="v3"), ("remove", IDS[0])])  # in doubt, and then moved
@example([put_(0, "v1"), run_(), run_(number=1), put_(0, "v2"), run_(), put_(0, "v3"), ("fill", 1), run_(i0="v4")])
@example([put_(0, "v1"), put_(1, "v1"), run_(), ("remove", IDS[0]), put_(1, "v2"), run_(limit=1), ("fill", 0)])
@given(st.lists(st.one_of(put, put, remove, rename, crash, rerun, limited, fill), max_size=14))
def test_any_history_ends_with_the_indexes_equal_to_the_live_rows(history: list[tuple[object, ...]]) -> None:
    world = World()
    for event in history:
        match event:
            case ("put", str(id), str(version), str(label)):
                world.source[id] = (version, label)
            case ("remove", str(id)):
                world.source.pop(id, None)
            case ("rename", str(old), str(new)) if old in world.source:
                world.source[new] = world.source.pop(old)
            case ("fill", number):
                world.fill(number)  # type: ignore[arg-type]  # drawn as an int
            case ("run", *drawn):
                try:
                    world.run(*drawn)  # type: ignore[arg-type]  # drawn as a run's arguments
                except Crash:
                    continue
    for number, target in enumerate(world.targets):
        world.run(None, number)
        assert target.index == world.live()
    assert len(world.embeddings) == len(set(world.embeddings)), "a published part was embedded again"


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from(IDS), st.tuples(versions, labels)))
def test_a_second_run_has_nothing_to_do(source: Listing) -> None:
    world = World(source=source)
    world.run(None)
    counts = count_plan(world.plan(world.targets[0]))
    assert (counts.to_embed, counts.to_upsert, counts.to_delete, counts.awaited) == (0, 0, 0, 0)
    assert (counts.new, counts.changed, counts.relabelled) == (0, 0, 0)
    assert counts.unchanged + counts.quarantined + counts.rejected == counts.listed
