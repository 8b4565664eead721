"""Opening a run: its leases are taken first and let go of last, and a run that doesn't move on gives up."""

import contextlib
import os
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from pinery.checkpoint.alias import Alias
from pinery.checkpoint.lease import Holder, Lease
from pinery.checkpoint.store import is_full
from pinery.corpus.corpus import Corpus
from pinery.corpus.live import SeenAlias
from pinery.corpus.past import STAMP
from pinery.corpus.progress import Progress, Silent
from pinery.corpus.run import HeldTarget, Run
from pinery.corpus.served import Served
from pinery.corpus.target import Target
from pinery.errors import NoRoomError, PineryError, RefusedError, StoppedError, TerminalError, TransientError
from pinery.target_settings import PineconeSettings

STALL_CHECKS = 20
STALL_GRACE = 60.0


@contextlib.contextmanager
def open_run(
    corpus: Corpus,
    choose: Callable[[Alias], Served] | None = None,
    *,
    kept: bool = False,
    wait: bool = False,
    progress: Progress | None = None,
) -> Iterator[Run]:
    """Take the lease of the main target and yield the run; let go of everything at the end, whatever the end is.

    The targets are those that `choose` chooses for an alias, by default `Corpus.serve`. With `kept`, the run holds the
    targets too that are kept true beside the live one, and goes on without one whose lease another run holds. Raises
    LeaseHeldError while another run holds the main target's (unless `wait`), and what `choose` raises.
    """
    run = Run(corpus, progress or Silent())
    ended = threading.Event()
    with contextlib.ExitStack() as leases:
        chosen = _hold_main(run, choose or corpus.serve, wait, leases)
        if chosen.note:
            run.note(chosen.note)
        for entry in chosen.kept if kept else ():
            try:
                _hold(run, corpus.open_target(entry), wait, leases)
            except PineryError as error:
                run.leave_out(entry, str(error))
        leases.callback(ended.set)
        threading.Thread(target=_watch, args=(run, ended), name="stall", daemon=True).start()
        try:
            yield run
        except BaseException as error:
            run.stop()
            if not isinstance(error, TransientError | RefusedError | StoppedError):
                # Whoever took a lease over has tidied our files away, and that says more than a missing file.
                for held in run.targets:
                    held.lease.check()
            if is_full(error) and not isinstance(error, NoRoomError):
                raise NoRoomError(
                    f"there is no room for the files of this run ({error}); make room on the disk of"
                    f" {run.main.scratch}. What is published is whole"
                ) from error
            raise


def _hold_main(run: Run, choose: Callable[[Alias], Served], wait: bool, leases: contextlib.ExitStack) -> Served:
    """Hold the main target, and return what was chosen by the alias as it is once the lease is taken."""
    while True:
        first = choose(run.seen.alias)
        with contextlib.ExitStack() as taken:
            _hold(run, run.corpus.open_target(first.main), wait, taken)
            run.seen = SeenAlias(run.corpus)
            chosen = choose(run.seen.alias)
            if chosen.main.same_target(first.main):
                leases.enter_context(taken.pop_all())
                return chosen
        run.targets.clear()  # another target became live while the lease was waited for


def _hold(run: Run, target: Target, wait: bool, leases: contextlib.ExitStack) -> None:
    """Take the lease of a target's model, unless the run has it already, and make a scratch folder for the target."""
    corpus, key = run.corpus, target.card.key
    folder = f"{corpus.config.corpus}/{key}"
    lease = next((held.lease for held in run.targets if held.target.card.key == key), None)
    if lease is None:
        lease = leases.enter_context(_lease(run, key, wait))
        # The lease is ours, so whatever lies in its folder belongs to a run that died.
        for path in corpus.store.scratch(folder).iterdir():
            shutil.rmtree(path, ignore_errors=True)
        corpus.store.clear(corpus.paths.staging(key))
    others = f"-{len(run.targets)}" if run.targets else ""
    scratch = corpus.store.scratch(f"{folder}/{run.name}{others}")
    leases.callback(shutil.rmtree, scratch, ignore_errors=True)
    run.targets.append(HeldTarget(run, target, lease, scratch))


def _lease(run: Run, key: str, wait: bool) -> Lease:
    noted: set[str] = set()

    def waiting(holder: Holder) -> None:
        if holder.run not in noted:
            noted.add(holder.run)
            run.note(_why_wait(holder, lease.silence_of(holder), wait))

    def name_run() -> str:
        if not run.targets:  # else it has its name already
            run.name = run_name(datetime.now(UTC), run.corpus.current_listing())
        return run.name

    place, config = run.corpus.paths.lease(key), run.corpus.config
    # The embedded index is written by this process itself, so no request to it is ever on a wire.
    life = config.upsert.request_timeout if isinstance(config.index, PineconeSettings) else 0.0
    lease = Lease(run.corpus.store, place, name_run, config.run.lease_ttl, wait, waiting, life)
    return lease


def _why_wait(holder: Holder, seconds: float, wait: bool) -> str:
    if holder.released:
        return f"run {holder.run} ended with a request unanswered; waiting {seconds:.0f} s until it is over"
    if wait:
        return f"waiting for run {holder.run} on {holder.host} (pid {holder.pid}) to end"
    return (
        f"run {holder.run} on {holder.host} (pid {holder.pid}) seems to be gone and never let go of its lease;"
        f" watching that for {seconds:.0f} s before going on"
    )


def run_name(now: datetime, newest_listing: str | None) -> str:
    """Return a name that sorts after those of all earlier runs, even if the clocks of their hosts were wrong."""
    stamp = f"{now:{STAMP}}"
    newest = (newest_listing or "").rpartition("/")[2].partition("-")[0]
    if stamp <= newest:
        stamp = f"{datetime.strptime(newest, STAMP) + timedelta(microseconds=1):{STAMP}}"
    return f"{stamp}-{uuid.uuid4().hex[:6]}"


def _watch(run: Run, ended: threading.Event, exit: Callable[[int], None] = os._exit) -> None:
    limit = run.corpus.config.run.stall_timeout
    while not ended.wait(limit / STALL_CHECKS):
        if run.idle_seconds() > limit:
            text = (
                f"no progress for {limit:g} s (run.stall_timeout); the run gave up. Run the same command again to go on"
            )
            run.stop(TerminalError(text))
            if not ended.wait(STALL_GRACE):
                for held in run.targets:
                    held.lease.release()
                sys.stderr.write(f"error: {text}\n")
                exit(1)
