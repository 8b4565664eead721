"""One writer: the lease of a (corpus, model key), renewed by its holder and checked before each write.

A lease is let go of only when nothing that was begun under it is in flight. It is taken over at once from a holder
that let go or is proven dead, and from any other only after its record stood still, by the clock of the side that
waits, for as long as anything of that holder may still take effect.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from pinery.checkpoint.holder import Holder, here, parse_holder, process_start, read_holder
from pinery.checkpoint.store import Store
from pinery.clock import boottime
from pinery.errors import ConflictError, LeaseHeldError, LeaseLostError, PineryError, TransientError

__all__ = ["Holder", "Lease", "process_start", "read_holder"]

RENEWALS_PER_TTL = 4
POLL_SECONDS, POLLS_PER_TTL = 0.5, 10
FAR = 3
"""An expiry that is more than this many times the silence ahead is not believed: some clock was wrong."""
LONGEST_SILENCE = 4200.0
"""The longest `lease_ttl` and the longest life of a request together."""


class Lease:
    """A held lease; a context manager that renews it in the background and lets go at the end.

    `name_run` is asked for the run's name when the lease is free. `life` is how many seconds a request may take effect
    after it was sent. Raises LeaseHeldError on entry while another run holds the lease (unless told to wait).
    """

    def __init__(
        self,
        store: Store,
        name: str,
        name_run: Callable[[], str],
        ttl: float,
        wait: bool,
        waiting: Callable[[Holder], None],
        life: float = 0.0,
    ) -> None:
        self._store, self._name, self._name_run, self._ttl = store, name, name_run, ttl
        self._wait, self._waiting, self._life = wait, waiting, life
        self.run = ""
        self.epoch = 0
        self.after: Holder | None = None
        """The holder that this lease was taken over from, if something that it sent may have taken effect late."""
        self._tag = self._watched_tag = ""
        self._watched_since = self._fresh_until = self._fresh_until_asleep = self._settled_at = 0.0
        self._lost = ""
        self._in_flight, self._leaving = 0, False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._renewer = threading.Thread(target=self._renew_until_ended, name="lease", daemon=True)

    def check(self) -> None:
        """Raise LeaseLostError unless this run still holds the lease, by clocks of which one runs during suspend."""
        if self._lost:
            raise LeaseLostError(f"{self._lost}; nothing more is written, run the same command again to go on")
        if time.monotonic() >= self._fresh_until or boottime() >= self._fresh_until_asleep:
            raise LeaseLostError(
                f"the lease of run {self.run} ran out after {self._ttl:g} s without renewal;"
                " nothing more is written, run the same command again to go on"
            )

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Check the lease, and keep it until what is done inside is over. Raises LeaseLostError before it begins."""
        with self._lock:
            self.check()
            self._in_flight += 1
        began = boottime()
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception) or (isinstance(error, TransientError) and error.unanswered):
                self._settled_at = max(self._settled_at, began + self._life)
            raise
        finally:
            with self._lock:
                self._in_flight -= 1
                last = self._leaving and not self._in_flight
            if last:
                self._let_go()

    def __enter__(self) -> Lease:
        while not self._acquire():
            if self._ended.wait(min(POLL_SECONDS, self._ttl / POLLS_PER_TTL)):
                raise LeaseLostError("stopped while waiting for the lease")
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go once nothing is in flight, which may be now; every later check fails.

        If the process ends before that, the lease isn't let go of and runs out.
        """
        self._ended.set()
        if self._renewer.is_alive():
            self._renewer.join()
        with self._lock:
            if self._lost:
                return
            self._lost = f"run {self.run} has let go of its lease"
            self._leaving = True
            in_flight = self._in_flight
        if not in_flight:
            self._let_go()

    def _acquire(self) -> bool:
        found = self._store.read(self._name)
        holder = parse_holder(self._name, found[0]) if found else None
        if found and holder and not self._may_take(holder, found[1]):
            return False
        self.epoch = holder.epoch + 1 if holder else 1
        self.run = self._name_run()
        return self._write(found[1] if found else None)

    def _may_take(self, holder: Holder, tag: str) -> bool:
        """Return whether the lease is free, or its record stood still for long enough. Raises LeaseHeldError."""
        self.after = None
        if (holder.released and not holder.quiet_in) or (not holder.released and holder.is_proven_dead()):
            return True
        if tag != self._watched_tag:
            moved = self._watched_tag != ""
            self._watched_tag, self._watched_since = tag, time.monotonic()
            if not self._wait and not holder.released and (moved or not self._looks_abandoned(holder)):
                raise LeaseHeldError(
                    f"run {holder.run} on {holder.host} (pid {holder.pid}) is writing this corpus;"
                    " wait for it with `wait`, or let it end"
                )
            self._waiting(holder)
        if time.monotonic() - self._watched_since < self.silence_of(holder):
            return False
        self.after = holder
        return True

    def silence_of(self, holder: Holder) -> float:
        """Return the seconds for which the holder's record must stand still before its lease may be taken over."""
        if holder.released:
            return min(holder.quiet_in, LONGEST_SILENCE)
        return min(holder.silence or self._ttl + self._life, LONGEST_SILENCE)

    def _looks_abandoned(self, holder: Holder) -> bool:
        # Clocks of two hosts may differ: this decides only whether to watch the record, never to take over.
        ahead = holder.expires - time.time()
        return not 0 <= ahead <= FAR * self.silence_of(holder)

    def _write(self, tag: str | None) -> bool:
        """Replace the record that has `tag`; return False where the record of another run stands there."""
        began, asleep = time.monotonic(), boottime()
        if not self._put(self._own_record(), tag):
            return False
        self._fresh_until, self._fresh_until_asleep = began + self._ttl, asleep + self._ttl
        return True

    def _put(self, record: Holder, tag: str | None) -> bool:
        try:
            self._tag = self._store.replace(self._name, record.to_bytes(), tag)
            return True
        except ConflictError:
            own = self._own_tag()
            if own is None:
                return False
        except TransientError:
            own = self._own_tag()
            if own in (None, tag):
                raise
        # A write whose answer was lost took effect: the record in place is our own.
        try:
            self._tag = self._store.replace(self._name, record.to_bytes(), own)
        except ConflictError:
            return False
        return True

    def _own_tag(self) -> str | None:
        """Return the tag of the record in place, if this run wrote it."""
        found = self._store.read(self._name)
        return found[1] if found and parse_holder(self._name, found[0]).is_same_as(self._own_record()) else None

    def _own_record(self) -> Holder:
        place, pid = here(), os.getpid()
        return Holder(
            run=self.run,
            host=place.host,
            boot=place.boot,
            pid=pid,
            start=process_start(pid) or "",
            epoch=self.epoch,
            expires=time.time() + self._ttl,
            pidns=place.pidns,
            silence=self._ttl + self._life,
        )

    def _let_go(self) -> None:
        # Somebody took it over, or it runs out by itself; and why a run failed must not be hidden.
        with contextlib.suppress(PineryError):
            left = max(0.0, self._settled_at - boottime())
            self._put(dataclasses.replace(self._own_record(), released=True, quiet_in=left), self._tag)

    def _renew(self) -> bool:
        """Renew the lease; return False where another run took it over, after which it can't be renewed any more."""
        try:
            if self._write(self._tag):
                return True
        except Exception:  # noqa: BLE001  # a storage fault: the next turn tries again, and check() fails if none succeeds in time
            return True
        self._lost = f"another run took over the lease of run {self.run}"
        return False

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(self._ttl / RENEWALS_PER_TTL):
            if not self._renew():
                return
