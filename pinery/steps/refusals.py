"""Rows that an index refused: believed only once the index, after refusing them, takes a row that it has."""

import threading

import pyarrow as pa

from pinery.corpus.outage import retry_through_outage
from pinery.corpus.run import HeldTarget
from pinery.errors import RequestTooLargeError, RowsRefusedError, TerminalError, TransientError
from pinery.records import Work
from pinery.steps.live_rows import live_rows


class Refusals:
    """Rows that one run's index refused and that are not recorded yet. Its upserts may use it from several threads."""

    def __init__(self, held: HeldTarget, sound: Work | None) -> None:
        self.sound = sound
        """A row that the index held as it should when the plan was made; None where there was none."""
        self._held = held
        self._taken: pa.RecordBatch | None = None
        self._waiting: list[pa.Table] = []
        self._lock = threading.RLock()

    def note_accepted(self, row: pa.RecordBatch) -> None:
        """Note a row (ROWS_SCHEMA) that the index acknowledged in this run."""
        self._taken = row

    def can_be_believed(self, words: str) -> bool:
        """Return whether the index takes a row that it has as it should be; False where it has none.

        Raises TransientError where it refuses that one too: then it is the index, and not the rows that it refused
        with `words`.
        """
        held, row = self._held, self._taken
        if row is None and self.sound is not None:
            row = next(live_rows(held.target.checkpoint, self.sound), None)
        if row is None:
            return False
        try:
            retry_through_outage(held, lambda: held.index.upsert(row))
        except (RowsRefusedError, RequestTooLargeError) as error:
            raise TransientError(
                f"index {held.target.name} refuses rows ({words}), and a row that it holds as well ({error}): it is"
                " the index, and not the rows. None of them is recorded as rejected, and nothing was deleted"
            ) from error
        return True

    def add(self, rows: pa.Table, believed: bool) -> None:
        """Keep refused rows (REJECTED_SCHEMA); where they are believed, record them and all that were kept before."""
        with self._lock:
            if rows.num_rows:
                self._waiting.append(rows)
            if believed:
                self._record()

    def judge(self) -> None:
        """Record what was refused before the index took any row of this run, if it takes one by now.

        Raises TerminalError where there is none to try: then the rows are not known to be what is wrong, and the next
        run sends them again.
        """
        if not self._waiting:
            return
        words = str(self._waiting[0]["reason"][0].as_py())
        if not self.can_be_believed(words):
            rows = sum(rows.num_rows for rows in self._waiting)
            raise TerminalError(
                f"index {self._held.target.name} refused all {rows} rows of this run, the first with: {words}. Nothing"
                " is recorded of them: once the cause is fixed, the same command sends them again"
            )
        self._record()

    def _record(self) -> None:
        if self._waiting:
            with self._held.writing():
                self._held.ledger.reject(pa.concat_tables(self._waiting), self._held.scratch)
            self._waiting.clear()
