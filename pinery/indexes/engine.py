"""The upsert engine: requests in a bounded window, each retried or bisected until its rows are settled.

It alone repeats a request to an index: the SDK below it sends each request once, and nothing above it retries. Before
each attempt it checks that the run may still write.
"""

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from pinery.errors import RequestTooLargeError, RowsRefusedError, TerminalError, ThrottledError, TransientError
from pinery.indexes.attempt import attempt
from pinery.indexes.protocol import Index
from pinery.planning.pace import Pace
from pinery.planning.packing import pack

Result = TypeVar("Result")

LONGEST_PAUSE = 30.0
"""The most seconds between two attempts, where the server asks for no pause."""
LONGEST_RETRY_AFTER = 60.0
"""The longest pause, in seconds, for which a server's Retry-After is heeded."""
READ_PATIENCE = 15.0
"""The seconds for which a read outside of a run is retried."""
RECHECK_SECONDS = 0.5
"""The seconds after which a request that waits for its turn checks again whether the run is to stop."""
SAME_REFUSALS = 50
"""A request of this many rows or more that are all refused in the same words is an error: the rows aren't wrong."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The way in which an outage is waited out.

    `check` raises where the run is to stop, `pause` waits some seconds, and `note` tells the user what is waited for.
    Each attempt at a request is made inside of `request()`, which raises where it may not be made.
    """

    seconds: float
    """The seconds that an outage may last before it is an error."""
    check: Callable[[], None]
    pause: Callable[[float], None]
    note: Callable[[str], None]
    request: Callable[[], AbstractContextManager[None]] = nullcontext
    count: Callable[[str, float], None] = lambda _what, _amount: None
    """Is told of each `retries` and `throttled` (1), and of the `waited` seconds before each."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The rows of one request, each of which the index has acknowledged or refused."""

    rows: pa.RecordBatch
    """ROWS_SCHEMA, as sent."""
    refused: dict[int, str]
    """The index's words for each row that it refused, by the row's number in `rows`."""


def upsert_rows(index: Index, batches: Iterable[pa.RecordBatch], patience: Patience) -> Iterator[Settled]:
    """Upsert batches (ROWS_SCHEMA) and yield the rows of each request once they are settled, in the order sent.

    At most `index.max_concurrency` requests are in flight and as many wait, whatever the number of batches. Rows that
    were yielded before an error are settled all the same. Raises TransientError once an outage has lasted
    `patience.seconds`, TerminalError at once, and whatever `patience` raises.
    """
    window = index.max_concurrency
    patience, end = _shared(patience)
    gate = _Gate(index, patience)
    pending: deque[Future[Settled]] = deque()
    requests = (
        batch.slice(start, stop - start)
        for batch in batches
        for start, stop in pack(index.row_bytes(batch), index.max_request_rows, index.max_request_bytes)
    )
    pool = ThreadPoolExecutor(window, thread_name_prefix="upsert")
    try:
        for request in requests:
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
    """Call `action` and return its result, again with growing pauses while it raises TransientError.

    `what` names the request in notes. A signal waits for the end of the request in flight. Raises the TransientError
    once `patience.seconds` have passed since the first one.
    """

    def once() -> Result:
        with attempt():
            patience.check()
            with patience.request():
                return action()

    if threading.current_thread() is not threading.main_thread():
        return _again(once, what, patience)

    def in_a_thread() -> Result:
        # A signal interrupts the main thread, and would leave behind a request that may still take effect. It may come
        # while the thread is being started, which the pool then doesn't know: so the lock says what is in flight.
        in_flight, interrupted = threading.Lock(), threading.Event()

        def unless_interrupted() -> Result:
            with in_flight:
                if interrupted.is_set():
                    raise CancelledError
                return once()

        try:
            with ThreadPoolExecutor(1, "request") as own:
                return own.submit(unless_interrupted).result()
        except BaseException:
            interrupted.set()
            with in_flight:
                raise

    return _again(in_a_thread, what, patience)


def ask(action: Callable[[], Result], what: str, seconds: float = READ_PATIENCE) -> Result:
    """Call `action`, a read outside of a run, and return its result; retry it for so many seconds.

    Raises TransientError where the index still doesn't answer by then.
    """
    return with_patience(action, what, Patience(seconds, lambda: None, time.sleep, lambda _: None))


def _again(once: Callable[[], Result], what: str, patience: Patience) -> Result:
    failures: list[float] = []

    def is_over(state: RetryCallState) -> bool:
        """Return whether the outage, which begins with the first failure, has lasted too long."""
        failures.append(state.outcome_timestamp or 0.0)
        return failures[-1] - failures[0] >= patience.seconds

    def waiting(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        left = patience.seconds - (failures[-1] - failures[0])
        patience.count("retries", 1)
        patience.count("throttled", isinstance(error, ThrottledError))
        patience.count("waited", state.next_action.sleep if state.next_action else 0.0)
        patience.note(f"{error or what}; next try within {LONGEST_PAUSE:.0f} s, giving up in {rough_duration(left)}")

    return Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=is_over,
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
    # The random factor keeps the requests from all coming back at the same moment.
    return max(_backoff(state), min(asked, LONGEST_RETRY_AFTER) * random.uniform(1, 1.25))


def _shared(patience: Patience) -> tuple[Patience, Callable[[BaseException], None]]:
    """Return `patience` for all requests of one call, and a function that takes an error and ends all other waits."""
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
        """Make one attempt at a request, as soon as the pace allows it."""
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


def rough_duration(seconds: float) -> str:
    """Return seconds as text, in minutes or, up to two minutes, in tens of seconds: many waits then read the same."""
    return f"{math.ceil(seconds / 60)} min" if seconds > 120 else f"{max(10, math.ceil(seconds / 10) * 10)} s"
