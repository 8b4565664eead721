"""`verify` finds every kind of difference between an index and the live rows, and repairs only those."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.reindex import reindex
from flows.verify import verify
from pinery.corpus import outage
from pinery.errors import ConfigError, DifferentError, RefusedError, TransientError
from pinery.indexes.protocol import Index
from tests.corpora import config, paint
from tests.filled import bring, opened, rows_of
from tests.indexes.rows import batch, settle
from tests.pinecone_server.server import PineconeServer

KINDS = ("missing", "extra", "stale", "wrong", "wrong_metadata")


@pytest.fixture(params=[pytest.param("lance", marks=pytest.mark.slow), "pinecone"])
def settings(
    request: pytest.FixtureRequest, images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> dict[str, Any]:
    """A corpus of twelve images, in the index."""
    made = config(images, tmp_path / "state", index={"kind": request.param})
    bring(made)
    return made


def index_of(settings: dict[str, Any]) -> Index:
    return opened(settings).target.index


def found(settings: dict[str, Any], **flags: Any) -> dict[str, Any]:
    """Return the result of `verify` for an index that differs."""
    with pytest.raises(DifferentError) as caught:
        verify(settings, **flags)
    return caught.value.result


def counts(result: dict[str, Any]) -> dict[str, int]:
    return {kind: result[kind] for kind in KINDS if result[kind]}


def tamper(settings: dict[str, Any]) -> None:
    """One row of each kind of difference that another program can make."""
    index, rows = index_of(settings), rows_of(settings)
    index.delete(["red-0.jpg"])
    width = len(rows["red-1.jpg"].values)
    index.upsert(batch(["stray"], [[1.0] * width], [{}]))
    index.upsert(batch(["red-1.jpg"], [[2.0] * width], [dict(rows["red-1.jpg"].metadata)]))
    index.upsert(batch(["red-2.jpg"], [list(rows["red-2.jpg"].values)], [{"label": "blue"}]))
    settle(index, 10)


def test_an_index_that_is_as_it_should_be(settings: dict[str, Any]) -> None:
    result = verify(settings)
    assert counts(result) == {}
    assert (result["expected"], result["held"], result["checked"], result["rounded"]) == (12, 12, 12, 0)
    assert result["differences"] is None


def test_every_kind_of_difference_is_counted_and_listed_by_id(settings: dict[str, Any]) -> None:
    tamper(settings)
    result = found(settings, full=True)
    assert counts(result) == {"missing": 1, "extra": 1, "wrong": 1, "wrong_metadata": 1}
    assert (result["held"], result["checked"]) == (12, 11)
    listed = pq.read_table(result["differences"]).to_pylist()
    assert {row["id"]: row["difference"] for row in listed} == {
        "red-0.jpg": "missing",
        "red-1.jpg": "wrong",
        "red-2.jpg": "wrong_metadata",
        "stray": "extra",
    }


def test_repair_mends_the_difference_and_touches_nothing_else(settings: dict[str, Any]) -> None:
    before = rows_of(settings)
    tamper(settings)
    result = verify(settings, full=True, repair=True)
    assert counts(result) == {}
    assert result["repaired"] == {"upserted": 3, "deleted": 1}
    assert rows_of(settings) == before
    report = reindex(settings)
    assert (report["unchanged"], report["upserted"], report["deleted"], report["embedded"]) == (12, 0, 0, 0)


def test_a_repair_without_any_difference_writes_nothing(settings: dict[str, Any]) -> None:
    assert verify(settings, full=True, repair=True)["repaired"] is None


def test_rows_that_the_ledger_does_not_vouch_for_are_stale(settings: dict[str, Any]) -> None:
    corpus = opened(settings)
    ledger_folder = Path(settings["state"]) / corpus.target.recorded_at.ledger
    newest = sorted(ledger_folder.glob("*.parquet"))[-1]
    rows = pq.read_table(newest)
    kept = rows.filter(pa.array([row_id != "red-3.jpg" for row_id in rows["id"].to_pylist()]))
    # Without the note that says that the file has checksums, it is one of an earlier version.
    pq.write_table(kept.replace_schema_metadata(None), newest)
    assert counts(found(settings)) == {"stale": 1}
    assert verify(settings, repair=True)["repaired"] == {"upserted": 1, "deleted": 0}


def test_rows_that_were_listed_since_are_not_expected(settings: dict[str, Any], images: Path) -> None:
    paint(images / "red-9.jpg", "red", 9)
    assert verify(settings)["expected"] == 12, "verify reads the current listing, it makes none"


def test_deleting_much_in_a_repair_is_refused_unless_allowed(settings: dict[str, Any]) -> None:
    index, before = index_of(settings), rows_of(settings)
    width = len(before["red-1.jpg"].values)
    index.upsert(batch([f"stray-{at}" for at in range(9)], [[1.0] * width] * 9, [{}] * 9))
    settle(index, 10)
    with pytest.raises(RefusedError, match=r"9 of the 21 rows .* delete_guard of 20%"):
        verify(settings, repair=True)
    assert len(rows_of(settings)) == 21
    assert counts(found(settings)) == {"extra": 9}, "a refused repair leaves the ledger as it was"
    assert verify(settings, repair=True, allow_deletes=True)["repaired"] == {"upserted": 0, "deleted": 9}
    assert rows_of(settings) == before


def test_an_emptied_index_is_filled_again(settings: dict[str, Any]) -> None:
    before = rows_of(settings)
    index = index_of(settings)
    index.delete(list(before))
    settle(index, 10)
    assert counts(found(settings)) == {"missing": 12}
    assert verify(settings, repair=True)["repaired"] == {"upserted": 12, "deleted": 0}
    assert rows_of(settings) == before


def test_vectors_that_were_rounded_are_right_and_said_to_be_so(settings: dict[str, Any]) -> None:
    index, rows = index_of(settings), rows_of(settings)
    row = rows["red-0.jpg"]
    index.upsert(batch(["red-0.jpg"], [[value * (1 + 4e-7) for value in row.values]], [dict(row.metadata)]))
    settle(index, 10)
    result = verify(settings, full=True)
    assert (counts(result), result["rounded"]) == ({}, 1)


def test_an_index_or_a_corpus_that_is_not_there(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`pinery run` makes the first one"):
        verify(config(images, tmp_path / "state"))
    made = config(images, tmp_path / "state")
    reindex(made)
    with pytest.raises(ConfigError, match="index other doesn't exist; `pinery upsert CONFIG` makes and fills it"):
        verify(made | {"index": {"kind": "lance", "name": "other"}})


@pytest.mark.slow
def test_listing_goes_on_after_an_outage(images: Path, tmp_path: Path, pinecone_environment: PineconeServer) -> None:
    made = config(images, tmp_path / "state", index={"kind": "pinecone"})
    reindex(made)
    pinecone_environment.faults.push("list", 503, times=6, headers={"Retry-After": "0"})
    assert counts(verify(made)) == {}


def test_a_repair_counts_also_where_the_state_forgot_which_index_it_is(settings: dict[str, Any]) -> None:
    corpus = opened(settings)
    corpus.store.delete(corpus.target.recorded_at.identity)
    tamper(settings)
    assert counts(verify(settings, full=True, repair=True)) == {}


def test_an_index_that_does_not_show_its_rows_yet_loses_none_and_keeps_none_too_many(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "SETTLE_SECONDS", 1.0)
    made = config(images, tmp_path / "state", index={"kind": "pinecone"}, upsert={"outage_patience": 0.5})
    pinecone_environment.hold()
    with pytest.raises(TransientError, match="writes are visible up to LSN"):
        reindex(made)
    (images / "red-0.jpg").unlink()
    with pytest.raises(TransientError, match="writes are visible up to LSN"):
        reindex(made)
    pinecone_environment.release()
    assert reindex(made)["verified"]
    assert sorted(rows_of(made)) == sorted(path.name for path in images.iterdir())


def test_a_run_waits_for_an_index_that_shows_its_rows_later_than_a_request_may_live(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    few = {"outage_patience": 0.5, "request_timeout": 2}
    made = config(images, tmp_path / "state", index={"kind": "pinecone"}, upsert=few)
    pinecone_environment.hold()
    with ThreadPoolExecutor(1) as pool:
        # With growing pauses, the sixth look is more than a second after the first: too late for a request to be sent.
        looked = pool.submit(pinecone_environment.log.wait_for, "query", 6, 60)
        looked.add_done_callback(lambda _: pinecone_environment.release())
        assert reindex(made)["verified"]
    assert looked.result()
