"""The report of a run: published when it begins, once it is planned, and when it ends, however it ends."""

import contextlib
import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pinery.addresses import without_secrets
from pinery.checkpoint.alias import IndexEntry
from pinery.corpus.live import retired
from pinery.corpus.run import HeldTarget, Run
from pinery.embedding.machine import kind_of_machine
from pinery.errors import LeaseLostError, PineryError, RefusedError, StoppedError
from pinery.planning.estimate import Amount
from pinery.planning.plan import PlanCounts
from pinery.records import PartReport, UpsertReport
from pinery.reports import Gate, RunReport, TargetReport
from pinery.steps.bottleneck import bottleneck, bottleneck_line, shares
from pinery.steps.drift import drift
from pinery.steps.embed_part import Attempts
from pinery.steps.list_items import Listing
from pinery.steps.make_plan import Plan
from pinery.steps.rates import estimate_target


@dataclass(frozen=True, slots=True)
class Done:
    """The parts that were embedded for a target, and the upserts to its index."""

    parts: Sequence[PartReport]
    upserts: Sequence[UpsertReport]

    def __add__(self, other: "Done") -> "Done":
        return Done((*self.parts, *other.parts), (*self.upserts, *other.upserts))

    @property
    def embedded(self) -> int:
        """The number of images that were embedded."""
        return sum(part.embedded for part in self.parts)

    @property
    def upserted(self) -> int:
        """The number of rows that the index acknowledged."""
        return sum(upsert.upserted for upsert in self.upserts)

    @property
    def rejected(self) -> int:
        """The number of rows that the index refused."""
        return sum(upsert.rejected for upsert in self.upserts)


@dataclass(frozen=True, slots=True)
class Brought:
    """A target that is as it should be, and the work that brought it there."""

    held: HeldTarget
    done: Done
    deleted: int
    counts: PlanCounts
    """Counts of the work that is left, and of the rows that the index holds."""


class Reporter:
    """Keeps the report of one run, in the state and for the messages about the run's end."""

    def __init__(self, run: Run, flow: str) -> None:
        target = run.main.target
        card, entry = target.card, target.entry
        self._run = run
        self.attempts = Attempts()
        """Counts of the items that the run tried to embed for its main target."""
        self.report = RunReport(
            run=run.name,
            corpus=target.corpus,
            model=card.name,
            model_key=card.key,
            precision=card.precision,
            decoder=card.decoder,
            probe=dict(card.probe),
            index=entry.name,
            kind=entry.kind,
            namespace=entry.namespace,
            started=run.started.isoformat(timespec="seconds"),
            flow=flow,
            page_url=run.corpus.config.page_url,
        )
        self._write()

    def attempts_of(self, held: HeldTarget) -> Attempts:
        """Return the counts of what the run tries to embed for a target."""
        return self.attempts if held is self._run.main else Attempts()

    def passed(self, plan: Plan, listing: Listing, limit: int | None) -> None:
        """Add the main target's plan, and the listing, which is the current one from now on."""
        counts = plan.counts
        self.report = replace(
            self.report,
            listing=listing.name,
            limited=limit,
            left_out=listing.left_out,
            remarks=listing.remarks,
            listed=counts.listed,
            new=counts.new,
            changed=counts.changed,
            relabelled=counts.relabelled,
            unchanged=counts.unchanged,
        )
        self._write()

    def close(self, brought: Sequence[Brought], *, gate: Gate | None = None, promoted: bool | None = None) -> RunReport:
        """Publish and return the finished report; the first of what was brought true is the main target.

        A backfill gives the gate's verdict on its candidate, and whether that one was promoted.
        """
        main, counts = brought[0], brought[0].counts
        upserted = sum(one.done.upserted for one in brought)
        cost = estimate_target(self._run.corpus, main.held.target.entry, Amount.assumed(0, upserted), reports=())
        first = "candidate" if promoted is False else "live"
        done, seconds = main.done, _stage_seconds(self._run, brought)
        embedding, reused = seconds.get("embed", 0.0), sum(part.reused for part in done.parts)
        upserting, wall = seconds.get("upsert", 0.0), (datetime.now(UTC) - self._run.started).total_seconds()
        self.report = replace(
            self._ended("done"),
            deleted=main.deleted,
            awaited=counts.awaited,
            embedded=done.embedded,
            reused=reused,
            imported=main.held.imported,
            upserted=done.upserted,
            quarantined=counts.quarantined,
            rejected=counts.rejected,
            retired=tuple(retired(self._run.corpus)),
            parts=sum(1 for part in done.parts if part.rows),
            seconds=seconds,
            images_per_second=round((done.embedded + reused) / embedding, 1) if embedding else 0.0,
            rows_per_second=round(done.upserted / upserting, 1) if upserting else 0.0,
            bottleneck=bottleneck(seconds),
            bottleneck_line=bottleneck_line(seconds, wall),
            shares=shares(seconds, wall),
            write_units=cost.write_units or None,
            dollars=None if not cost.write_units or cost.dollars is None else round(cost.dollars.expected, 2),
            drift=drift(main.held.target.checkpoint, [part.part for part in done.parts if part.rows]),
            workers=self.attempts.workers,
            machine=kind_of_machine(main.held.target.config) if done.embedded or done.upserted else None,
            reasons=dict(sum((Counter(part.reasons) for part in done.parts), Counter())),
            not_indexed=main.held.not_indexed,
            notes=tuple(note for part in done.parts for note in part.notes),
            held=counts.held,
            verified=True,
            gate=gate,
            promoted=promoted,
            targets=(
                *(_row(one, first if one is main else "kept") for one in brought),
                *(_left_out(entry, why) for entry, why in self._run.left_out),
            ),
        )
        self._write()
        return self.report

    def fail(self, error: BaseException) -> None:
        """Publish why the run didn't end well, unless another run has the lease now and does the writing."""
        try:
            self._run.main.lease.check()
        except LeaseLostError:
            return
        state, reason = end_of(error)
        self.report = replace(
            self._ended(state),
            error=without_secrets(reason),
            examples=tuple({"id": id, "reason": reason} for id, reason in self.attempts.examples.items()),
            seconds=_rounded(self._run.seconds),
            verified=False,
        )
        self._write()
        known = self._run.main.not_indexed
        if known is not None:  # for the messages about the run's end; the state's files say the same
            counts = {kind: sum(known.get(kind, {}).values()) for kind in ("quarantined", "rejected")}
            self.report = replace(
                self.report,
                quarantined=counts["quarantined"] + self.attempts.quarantined,
                rejected=counts["rejected"],
                not_indexed=known,
            )

    def _ended(self, state: str) -> RunReport:
        return replace(
            self.report,
            state=state,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            attempted=self.attempts.published,
            moved=self.attempts.moved,
            retries=self._run.counted["retries"],
            throttled=self._run.counted["throttled"],
            waited_seconds=round(self._run.counted["waited"], 1),
            peak_memory=peak_memory(),
        )

    def _write(self) -> None:
        corpus = self._run.corpus
        text = json.dumps(self.report.to_dict(), indent=2)
        corpus.store.write(corpus.paths.report(self._run.name), text.encode())


@contextlib.contextmanager
def reported(run: Run, flow: str = "reindex") -> Iterator[Reporter]:
    """Publish a report that says the run is under way, and publish why if the run doesn't end well."""
    reporter = Reporter(run, flow)
    try:
        yield reporter
    except BaseException as error:
        # A report that can't be written must not hide why the run failed.
        with contextlib.suppress(PineryError):
            reporter.fail(error)
        raise


def end_of(error: BaseException) -> tuple[str, str]:
    """Return the state of a run that ended by `error` (`refused`, `stopped` or `failed`), and the reason."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "stopped by SIGINT (Ctrl-C)"
    reason = str(error) or type(error).__name__
    if isinstance(error, RefusedError | StoppedError):
        return "refused" if isinstance(error, RefusedError) else "stopped", reason
    if isinstance(error, Exception):
        return "failed", reason
    # SIGTERM, as Prefect and the command line raise it, or the interpreter's end: neither is a fault.
    return "stopped", "stopped by SIGTERM" if type(error).__name__ in ("TerminationSignal", "Terminated") else "stopped"


def peak_memory() -> int:
    """Return the most bytes that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _row(one: Brought, role: str) -> TargetReport:
    entry = one.held.target.entry
    return TargetReport(
        role=role,
        index=entry.name,
        namespace=entry.namespace,
        model_key=entry.card.key,
        embedded=one.done.embedded,
        upserted=one.done.upserted,
        deleted=one.deleted,
        held=one.counts.held,
        verified=True,
    )


def _left_out(entry: IndexEntry, why: str) -> TargetReport:
    return TargetReport(
        role="kept",
        index=entry.name,
        namespace=entry.namespace,
        model_key=entry.card.key,
        embedded=0,
        upserted=0,
        deleted=0,
        held=None,
        verified=False,
        error=without_secrets(why),
    )


def _stage_seconds(run: Run, brought: Sequence[Brought]) -> dict[str, float]:
    seconds = dict(run.seconds)
    for one in brought:
        for part in one.done.parts:
            for name, value in part.seconds.items():
                seconds[name] = seconds.get(name, 0.0) + value
    upserts = [upsert.seconds for one in brought for upsert in one.done.upserts]
    if upserts:
        seconds["upsert"] = sum(upserts)
    return _rounded(seconds)


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}
