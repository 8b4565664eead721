"""The upsert engine: requests in a bounded window, each retried, split or bisected until its rows are settled.

It alone repeats a request to an index: the SDK beneath sends each once, and nothing above retries at all. Before each
attempt it checks that the run may still write.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from pinery.errors import RequestTooLargeError, RowsRefusedError, TerminalError, ThrottledError, TransientError
from pinery.indexes.attempt import attempt
from pinery.indexes.protocol import Index
from pinery.planning.pace import Pace
from pinery.planning.packing import pack_rows

Result = TypeVar("Result")

LONGEST_PAUSE = 30.0
LONGEST_RETRY_AFTER = 60.0
"""What a server's Retry-After may ask for, in seconds."""
READ_PATIENCE = 15.0
"""Seconds for which a read outside of a run is repeated."""
RECHECK_SECONDS = 0.5
"""How long a request waits for its turn before it asks again whether the run is to stop."""
SAME_REFUSALS = 50
"""Rows of one request, all refused in the same words: it is not the rows that are wrong."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How an outage is met: `check` raises to stop, `pause` waits some seconds, `note` tells what is waited for.

    Each attempt at a request is made inside of `request()`, which raises where it may not be made.
    """

    seconds: float
    check: Callable[[], None]
    pause: Callable[[float], None]
    note: Callable[[str], None]
    request: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows of one request that are done with: acknowledged, or refused (row number and the index's words)."""

    rows: pa.RecordBatch
    refused: dict[int, str]


def upsert_rows(index: Index, batches: Iterable[pa.RecordBatch], patience: Patience) -> Iterator[Settled]:
    """Upsert batches (ROWS_SCHEMA) and yield what is settled, in the order sent.

    At most `index.max_concurrency` requests are in flight and as many wait, whatever the number of batches. Raises
    TransientError once an outage has lasted `patience.seconds`, and TerminalError at once; what was yielded is
    acknowledged.
    """
    window = index.max_concurrency
    patience, end = _shared(patience)
    gate = _Gate(index, patience)
    pending: deque[Future[Settled]] = deque()
    pool = ThreadPoolExecutor(window, thread_name_prefix="upsert")
    try:
        for request in _requests(index, batches):
            while len(pending) >= 2 * window:
                yield pending.popleft().result()
            pending.append(pool.submit(_settle, gate, request, end))
        while pending:
            yield pending.popleft().result()
    except BaseException as error:
        end(error)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def with_patience(action: Callable[[], Result], what: str, patience: Patience) -> Result:
    """Do `action` and return its result; again with growing pauses while it raises TransientError.

    Raises that error once `patience.seconds` have passed since the first one. A signal waits for the end of the
    request in flight.
    """

    def once() -> Result:
        with attempt():
            patience.check()
            with patience.request():
                return action()

    if threading.current_thread() is not threading.main_thread():
        return _again(once, what, patience)

    def aside() -> Result:
        # Signals hit the main thread: there they would leave a request behind that still takes effect.
        with ThreadPoolExecutor(1, "request") as own:
            return own.submit(once).result()

    return _again(aside, what, patience)


def ask(action: Callable[[], Result], what: str) -> Result:
    """Ask an index something outside of a run, again for some seconds while it raises TransientError."""
    return with_patience(action, what, Patience(READ_PATIENCE, lambda: None, time.sleep, lambda _: None))


def _again(once: Callable[[], Result], what: str, patience: Patience) -> Result:
    failures: list[float] = []

    def over(state: RetryCallState) -> bool:
        """Whether the outage was too long. It begins with the first failure: being slow to fail is not part of it."""
        failures.append(state.outcome_timestamp or 0.0)
        return failures[-1] - failures[0] >= patience.seconds

    def waiting(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        left = patience.seconds - (failures[-1] - failures[0])
        patience.note(f"{error or what}; next try within {LONGEST_PAUSE:.0f} s, giving up in {told_seconds(left)}")

    return Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=over,
        wait=_seconds_until_retry,
        sleep=patience.pause,
        before_sleep=waiting,
        reraise=True,
    )(once)


_backoff = wait_random_exponential(multiplier=1, max=LONGEST_PAUSE)


def _seconds_until_retry(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, TransientError) else None
    if not asked:
        return _backoff(state)
    # Not all at the same moment.
    return max(_backoff(state), min(asked, LONGEST_RETRY_AFTER) * random.uniform(1, 1.25))


def _requests(index: Index, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start, stop in pack_rows(batch, index.max_request_rows, index.max_request_bytes, index.value_bytes):
            yield batch.slice(start, stop - start)


def _shared(patience: Patience) -> tuple[Patience, Callable[[BaseException], None]]:
    """`patience` for all requests of one call, and what to tell the first error to: it ends the waits of the others."""
    errors: list[BaseException] = []

    def check() -> None:
        if errors:
            raise errors[0]
        patience.check()

    return replace(patience, check=check), errors.append


class _Gate:
    """Lets as many requests through to the index as its pace allows."""

    def __init__(self, index: Index, patience: Patience) -> None:
        self.index, self.patience = index, patience
        self._pace = Pace(index.max_concurrency)
        self._in_flight = 0
        self._changed = threading.Condition()

    def upsert(self, rows: pa.RecordBatch) -> None:
        """One attempt at a request, once it is its turn."""
        with self._turn() as epoch, attempt():
            self.patience.check()
            try:
                with self.patience.request():
                    self.index.upsert(rows)
            except ThrottledError:
                self._slow(epoch)
                raise
            with self._changed:
                self._pace.succeed()

    @contextmanager
    def _turn(self) -> Iterator[int]:
        with self._changed:
            while self._in_flight >= self._pace.limit:
                self._changed.wait(RECHECK_SECONDS)
                self.patience.check()
            self._in_flight += 1
            epoch = self._pace.epoch
        try:
            yield epoch
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def _slow(self, epoch: int) -> None:
        with self._changed:
            slower, limit = self._pace.slow(epoch), self._pace.limit
        if slower:
            self.patience.note(f"index {self.index.name} asks for fewer requests: at most {limit} at once for now")


def _settle(gate: _Gate, rows: pa.RecordBatch, end: Callable[[BaseException], None]) -> Settled:
    refused: dict[int, str] = {}
    try:
        _send(gate, rows, 0, refused)
        if len(refused) == rows.num_rows >= SAME_REFUSALS and len(set(refused.values())) == 1:
            raise TerminalError(f"index {gate.index.name} refused every row of a request: {refused[0]}")
    except BaseException as error:
        end(error)
        raise
    return Settled(rows, refused)


def _send(gate: _Gate, rows: pa.RecordBatch, offset: int, refused: dict[int, str]) -> None:
    try:
        _again(lambda: gate.upsert(rows), f"upsert to {gate.index.name}", gate.patience)
    except (RequestTooLargeError, RowsRefusedError) as error:
        if rows.num_rows == 1:
            refused[offset] = str(error)
            return
        half = rows.num_rows // 2
        _send(gate, rows.slice(0, half), offset, refused)
        _send(gate, rows.slice(half), offset + half, refused)


def told_seconds(seconds: float) -> str:
    """A time in whole minutes or, below two of them, in tens of seconds: so rough that many waits read the same."""
    return f"{math.ceil(seconds / 60)} min" if seconds > 120 else f"{max(10, math.ceil(seconds / 10) * 10)} s"
