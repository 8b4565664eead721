"""Bring rows of one published part to the index, and enter what it acknowledged in the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pinery.checkpoint.ledger import OpenEntry
from pinery.corpus.outage import patience
from pinery.corpus.run import HeldTarget
from pinery.indexes.engine import Settled, upsert_rows
from pinery.parquet.files import read_rows
from pinery.records import LEDGER_SCHEMA, REJECTED_SCHEMA, UpsertReport, Work
from pinery.steps.live_rows import gathered, live_rows, with_vectors
from pinery.steps.marks import claim_index
from pinery.steps.refusals import Refusals


def upsert_part(held: HeldTarget, work: Work, refusals: Refusals) -> UpsertReport:
    """Upsert the vectors that `work.part` holds for the rows of `work`, with the metadata of the listing.

    Rows without a vector there (quarantined, moved) are passed over. The ledger is behind the index by at most
    three times the requests that may be in flight at once. A row counts as rejected once the index, after refusing
    it, has taken a row that it holds. Raises what the upsert engine raises, and TransientError where the index
    takes no row at all; rows acknowledged until then are in the ledger.
    """
    began = time.monotonic()
    checkpoint = held.target.checkpoint
    wanted = with_vectors(checkpoint, work.part, read_rows(work.path, work.start, work.stop))
    claim_index(held)
    sending = _Sending(held, wanted, refusals)
    sending.send(live_rows(checkpoint, work))
    if sending.refused:
        _settle_refused(sending, refusals)
    with held.writing():
        sending.entry.close()
    return UpsertReport(sending.upserted, len(sending.refused), time.monotonic() - began)


def _settle_refused(sending: _Sending, refusals: Refusals) -> None:
    believed = refusals.can_be_believed(sending.words[0])
    if believed and len(sending.refused) > 1 and len(set(sending.words)) == 1:
        sending.send_again()  # what refused them all in the same words may have passed
    refusals.add(sending.rejected(), believed)


class _Sending:
    """The rows of one part on their way: what is acknowledged is entered, what is refused is kept."""

    def __init__(self, held: HeldTarget, wanted: pa.Table, refusals: Refusals) -> None:
        self._held, self._wanted, self._refusals = held, wanted, refusals
        self._ids: Any = wanted["id"].combine_chunks()
        with held.writing():
            self.entry: OpenEntry = held.ledger.open_entry(wanted["id"], held.scratch)
        self.refused: list[pa.RecordBatch] = []
        """One row each (ROWS_SCHEMA), as sent."""
        self._reasons: dict[str, str] = {}
        self.upserted = 0

    @property
    def words(self) -> list[str]:
        """The index' words for each row that it refused."""
        return [self._reasons[str(row["id"][0].as_py())] for row in self.refused]

    def send(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Upsert the batches, entering as many acknowledged rows at a time as may be in flight."""
        held, index, settled = self._held, self._held.index, list[Settled]()
        try:
            rows = gathered(batches, index.max_request_rows, index.max_request_bytes)
            for one in upsert_rows(index, rows, patience(held)):
                settled.append(one)
                held.run.advance("upsert", one.rows.num_rows)
                if len(settled) >= index.max_concurrency:
                    self._enter(settled)
        finally:
            self._enter(settled)

    def send_again(self) -> None:
        """Send each row that was refused once more, in a request of its own."""
        again, self.refused = self.refused, []
        self._held.run.advance("upsert", -len(again))
        self.send(again)

    def rejected(self) -> pa.Table:
        """Return the rows that are refused, as REJECTED_SCHEMA."""
        if not self.refused:
            return REJECTED_SCHEMA.empty_table()
        ids = pa.concat_arrays([row["id"] for row in self.refused])
        reasons = pa.array(self.words, pa.string())
        return self._rows(ids).append_column("reason", reasons).select(REJECTED_SCHEMA.names)

    def _enter(self, settled: list[Settled]) -> None:
        if not settled:
            return
        with self._held.lease.writing():
            ids = pa.concat_arrays([self._acknowledged(one)["id"] for one in settled])
            rows = self._rows(ids).append_column("deleted", pa.array([False] * len(ids), pa.bool_()))
            self.entry.acknowledge(rows.select(LEDGER_SCHEMA.names))
            self.entry.enter()
            self.upserted += len(ids)
        settled.clear()

    def _acknowledged(self, one: Settled) -> pa.RecordBatch:
        """Return the rows of a request that the index took; the others are kept."""
        good = one.rows
        for at, words in one.refused.items():
            row = one.rows.take(pa.array([at]))  # a slice would keep the whole request in memory
            self.refused.append(row)
            self._reasons[str(row["id"][0].as_py())] = words
        if one.refused:
            good = one.rows.filter(pa.array([at not in one.refused for at in range(one.rows.num_rows)]))
        if good.num_rows:
            self._refusals.note_accepted(good.take(pa.array([0])))
        return good

    def _rows(self, ids: pa.Array[Any]) -> pa.Table:
        return self._wanted.select(["id", "version", "metadata_hash"]).take(pc.index_in(ids, self._ids))
