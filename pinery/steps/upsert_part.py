"""Bring rows of one published part to the index, and enter what it acknowledged in the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pinery.checkpoint.ledger import OpenEntry
from pinery.checkpoint.parquet import read_rows
from pinery.errors import RequestTooLargeError, RowsRefusedError, TerminalError, TransientError
from pinery.indexes.engine import Settled, upsert_rows
from pinery.records import LEDGER_SCHEMA, REJECTED_SCHEMA, UpsertReport
from pinery.steps.live_rows import gathered, live_rows, with_vectors
from pinery.steps.make_plan import Work
from pinery.steps.marks import claim_index
from pinery.steps.outage import outlast, patience
from pinery.steps.run import Run

__all__ = ["judge_rejected", "outlast", "patience", "upsert_part"]


def upsert_part(run: Run, work: Work) -> UpsertReport:
    """Upsert the vectors that `work.part` holds for the rows of `work`, with the metadata of the listing.

    Rows without a vector there (quarantined, moved) are passed over. The ledger is never further behind the index than
    the requests that may be in flight at once. A row counts as rejected once the index, after refusing it, has taken a
    row that it holds. Raises what the upsert engine raises, and TransientError where the index takes no row at all;
    rows acknowledged until then are in the ledger.
    """
    began = time.monotonic()
    checkpoint = run.corpus.checkpoint
    wanted = with_vectors(checkpoint, work.part, read_rows(work.path, work.start, work.stop))
    claim_index(run)
    sending = _Sending(run, wanted)
    sending.send(live_rows(checkpoint, work))
    if sending.refused:
        _settle_refused(run, sending)
    with run.writing():
        sending.entry.close()
    return UpsertReport(sending.upserted, len(sending.refused), time.monotonic() - began)


def judge_rejected(run: Run) -> None:
    """Record the rows that the index refused before it took any of this run's, if it takes a row by now.

    Raises TerminalError where there is none to try: then the rows are not known to be what is wrong, and the next run
    sends them again.
    """
    if not run.held_back:
        return
    words = str(run.held_back[0]["reason"][0].as_py())
    if not _takes_rows(run, words):
        rows = sum(rows.num_rows for rows in run.held_back)
        raise TerminalError(
            f"index {run.corpus.index_name} refused all {rows} rows of this run, the first with: {words}. Nothing"
            " is recorded of them: once the cause is mended, the same command sends them again"
        )
    _record_rejected(run)


def _settle_refused(run: Run, sending: _Sending) -> None:
    believed = _takes_rows(run, sending.words[0])
    if believed and len(sending.refused) > 1 and len(set(sending.words)) == 1:
        sending.send_again()  # what refused them all in the same words may have passed
    if sending.refused:
        run.held_back.append(sending.rejected())
    if believed:
        _record_rejected(run)


def _takes_rows(run: Run, words: str) -> bool:
    """Whether the index takes a row that it has as it should be; False where it has none.

    Raises TransientError where it refuses that one too: then it is the index, and not the rows that it refused.
    """
    index = run.corpus.index
    row = run.witness
    if row is None and run.probe is not None:
        row = next(live_rows(run.corpus.checkpoint, run.probe), None)
    if row is None:
        return False
    try:
        outlast(run, lambda: index.upsert(row))
    except (RowsRefusedError, RequestTooLargeError) as error:
        raise TransientError(
            f"index {index.name} refuses rows ({words}), and a row that it holds as well ({error}): it is the index,"
            " and not the rows. None of them is recorded as rejected, and nothing was deleted"
        ) from error
    return True


def _record_rejected(run: Run) -> None:
    if run.held_back:
        with run.writing():
            run.open_ledger.reject(pa.concat_tables(run.held_back), run.scratch)
        run.held_back.clear()


class _Sending:
    """The rows of one part on their way: what is acknowledged is entered, what is refused is kept."""

    def __init__(self, run: Run, wanted: pa.Table) -> None:
        self._run, self._wanted = run, wanted
        self._ids: Any = wanted["id"].combine_chunks()
        with run.writing():
            self.entry: OpenEntry = run.open_ledger.open_entry(wanted["id"], run.scratch)
        self.refused: list[pa.RecordBatch] = []
        """One row each (ROWS_SCHEMA), as sent."""
        self._reasons: dict[str, str] = {}
        self.upserted = 0

    @property
    def words(self) -> list[str]:
        """What the index said of each row that it refused."""
        return [self._reasons[str(row["id"][0].as_py())] for row in self.refused]

    def send(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Upsert the batches, entering as many acknowledged rows at a time as may be in flight."""
        run, index, settled = self._run, self._run.corpus.index, list[Settled]()
        try:
            rows = gathered(batches, index.max_request_rows, index.max_request_bytes)
            for one in upsert_rows(index, rows, patience(run)):
                settled.append(one)
                run.advance("upsert", one.rows.num_rows)
                if len(settled) >= index.max_concurrency:
                    self._enter(settled)
        finally:
            self._enter(settled)

    def send_again(self) -> None:
        """Send each row that was refused once more, in a request of its own."""
        again, self.refused = self.refused, []
        self._run.advance("upsert", -len(again))
        self.send(again)

    def rejected(self) -> pa.Table:
        """What is refused, as REJECTED_SCHEMA."""
        ids = pa.concat_arrays([row["id"] for row in self.refused])
        reasons = pa.array(self.words, pa.string())
        return self._rows(ids).append_column("reason", reasons).select(REJECTED_SCHEMA.names)

    def _enter(self, settled: list[Settled]) -> None:
        if not settled:
            return
        with self._run.lease.writing():
            ids = pa.concat_arrays([self._acknowledged(one)["id"] for one in settled])
            rows = self._rows(ids).append_column("deleted", pa.array([False] * len(ids), pa.bool_()))
            self.entry.acknowledge(rows.select(LEDGER_SCHEMA.names))
            self.entry.enter()
            self.upserted += len(ids)
        settled.clear()

    def _acknowledged(self, one: Settled) -> pa.RecordBatch:
        """The rows of a request that the index took; the others are kept."""
        good = one.rows
        for at, words in one.refused.items():
            row = one.rows.take(pa.array([at]))  # a slice would keep the whole request in memory
            self.refused.append(row)
            self._reasons[str(row["id"][0].as_py())] = words
        if one.refused:
            good = one.rows.filter(pa.array([at not in one.refused for at in range(one.rows.num_rows)]))
        if good.num_rows:
            self._run.witness = good.take(pa.array([0]))
        return good

    def _rows(self, ids: pa.Array[Any]) -> pa.Table:
        return self._wanted.select(["id", "version", "metadata_hash"]).take(pc.index_in(ids, self._ids))
