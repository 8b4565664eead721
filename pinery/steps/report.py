"""The report of a run, the alias, and the housekeeping at a run's end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pinery.addresses import without_secrets
from pinery.checkpoint.parquet import TableWriter
from pinery.checkpoint.root import OF_RUN, only
from pinery.checkpoint.store import Store
from pinery.errors import LeaseLostError, PineryError, RefusedError, StoppedError
from pinery.planning.plan import PlanCounts, fold_ledger, snapshot_rows
from pinery.records import LEDGER_SCHEMA, PartReport, UpsertReport
from pinery.steps.compare import Comparison
from pinery.steps.live import go_live_now, retired
from pinery.steps.make_plan import Plan
from pinery.steps.run import Run
from pinery.steps.tables import connect

KEPT_LISTINGS = 7
KEPT_REPORTS = 90


@contextlib.contextmanager
def reported(run: Run) -> Iterator[dict[str, Any]]:
    """Publish a report that says the run is under way, yield it, and publish why if the run doesn't end well."""
    corpus = run.corpus
    report: dict[str, Any] = {
        "run": run.name,
        "state": "running",
        "corpus": corpus.config.corpus,
        "model": corpus.card.name,
        "model_key": corpus.card.key,
        "precision": corpus.card.precision,
        "decoder": corpus.card.decoder,
        "probe": dict(corpus.card.probe),
        "index": corpus.index_name,
        "kind": corpus.config.index.kind,
        "namespace": corpus.config.namespace,
        "started": run.started.isoformat(timespec="seconds"),
    }
    _write(run, report)
    try:
        yield report
    except BaseException as error:
        # A report that can't be written must not hide why the run failed.
        with contextlib.suppress(PineryError):
            _fail(run, report, error)
        raise


def add_plan(run: Run, report: dict[str, Any], plan: Plan, limit: int | None) -> None:
    """Add the plan's counts and its listing, which is the current one from now on: all of it passed the guards."""
    names = ("listed", "new", "changed", "relabelled", "unchanged")
    report |= {"left_out": run.left_out, "remarks": run.remarks}
    report |= {"listing": plan.listing, "limited": limit} | {name: getattr(plan.counts, name) for name in names}
    _write(run, report)


def close_report(
    run: Run,
    report: dict[str, Any],
    parts: Sequence[PartReport],
    upserts: Sequence[UpsertReport],
    deleted: int,
    counts: PlanCounts,
    go_live: bool,
) -> dict[str, Any]:
    """Publish the finished report and tidy up; return the report.

    The verified index goes live if it may take the place of another (`go_live`), or if none is live and nothing is left
    to embed; never with a limit. Raises RefusedError where another index went live since the run began.
    """
    limited = report["limited"] is not None
    if not limited and (go_live or (run.alias.live is None and not counts.awaited)):
        go_live_now(run)
    compact_ledger(run)
    embedded, reused = sum(part.embedded for part in parts), sum(part.reused for part in parts)
    stages = _stage_seconds(run, parts, upserts)
    reasons: dict[str, int] = {}
    for part in parts:
        for reason, times in part.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + times
    report |= {
        "state": "done",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "deleted": deleted,
        **_attempts(run),
        "awaited": counts.awaited,
        "embedded": embedded,
        "reused": reused,
        "imported": run.imported,
        "upserted": sum(upsert.upserted for upsert in upserts),
        "quarantined": counts.quarantined,
        "rejected": counts.rejected,
        "retired": retired(run.corpus),
        "parts": sum(1 for part in parts if part.rows),
        "seconds": stages,
        "images_per_second": round((embedded + reused) / stages["embed"], 1) if stages.get("embed") else 0.0,
        "bottleneck": bottleneck(stages),
        "reasons": reasons,
        "not_indexed": run.not_indexed,
        "notes": [note for part in parts for note in part.notes],
        "held": counts.held,
        "verified": True,
    }
    _write(run, report)
    _keep_newest(run.corpus.store, run.corpus.paths.listings, KEPT_LISTINGS)
    _keep_newest(run.corpus.store, run.corpus.paths.runs, KEPT_REPORTS)
    return report


def publish_comparison(run: Run, comparison: Comparison, full: bool, repaired: dict[str, Any] | None) -> dict[str, Any]:
    """What `pinery verify` says, with the ids that differ published as a file."""
    corpus, differences = run.corpus, None
    if comparison.differences is not None:
        name = corpus.paths.differences(run.name)
        run.check()
        corpus.store.publish(name, comparison.differences)
        _keep_newest(corpus.store, corpus.paths.comparisons, KEPT_LISTINGS)
        differences = f"{corpus.store.root}/{name}"
    return {
        "run": run.name,
        "corpus": corpus.config.corpus,
        "model_key": corpus.card.key,
        "kind": corpus.config.index.kind,
        "index": corpus.index_name,
        "namespace": corpus.config.namespace,
        "full": full,
        **comparison.to_dict(),
        "differences": differences,
        "repaired": None if repaired is None else {name: repaired[name] for name in ("upserted", "deleted")},
        "seconds": {name: round(value, 3) for name, value in run.seconds.items()},
    }


def bottleneck(seconds: dict[str, float]) -> str:
    """Which stage the run waited for: `fetch`, `decode`, `infer`, `upsert`, another stage's name, or `none`.

    `fetch`, `decode` and `infer` are in `embed`, as the mean over the threads that do each; the others are wall time.
    """
    embedding = {name: seconds.get(name, 0.0) for name in ("infer", "decode", "fetch")}
    stages = {name: value for name, value in seconds.items() if name not in embedding}
    slowest = max(stages, key=lambda name: stages[name], default="none")
    if slowest != "embed" or not seconds["embed"]:
        return slowest
    return max(embedding, key=lambda name: embedding[name])


def compact_ledger(run: Run) -> None:
    """Replace the ledger's entries by a snapshot once they exceed a tenth of it."""
    ledger = run.open_ledger
    if not ledger.wants_snapshot():
        return
    path = run.scratch / "snapshot.parquet"
    with connect(run.scratch) as con, TableWriter(path, LEDGER_SCHEMA) as writer:
        fold_ledger(con, [str(file) for file in ledger.files()])
        for batch in snapshot_rows(con).to_arrow_reader(16384):
            writer.append(batch)
    run.check()
    ledger.publish_snapshot(path)


def _fail(run: Run, report: dict[str, Any], error: BaseException) -> None:
    try:
        run.lease.check()
    except LeaseLostError:
        return  # whoever has the lease now does the writing
    state, reason = end_of(error)
    failed = (
        report
        | _attempts(run)
        | {
            "state": state,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "error": without_secrets(reason),
            "examples": [{"id": id, "reason": reason} for id, reason in run.examples.items()],
            "seconds": {name: round(value, 2) for name, value in run.seconds.items()},
            "verified": False,
        }
    )
    _write(run, failed)
    report |= failed | _known_not_indexed(run)  # for whoever tells of the run's end


def _known_not_indexed(run: Run) -> dict[str, Any]:
    """What a run that didn't end well knows of the items that are not in the index: counts and reasons."""
    if run.not_indexed is None:
        return {}
    counts = {kind: sum(run.not_indexed.get(kind, {}).values()) for kind in ("quarantined", "rejected")}
    return counts | {"quarantined": counts["quarantined"] + run.quarantined, "not_indexed": run.not_indexed}


def end_of(error: BaseException) -> tuple[str, str]:
    """The state of a run that ended by `error` (`refused`, `stopped` by a signal, or `failed`), and the reason."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "stopped by SIGINT (Ctrl-C)"
    reason = str(error) or type(error).__name__
    if isinstance(error, RefusedError | StoppedError):
        return "refused" if isinstance(error, RefusedError) else "stopped", reason
    if isinstance(error, Exception):
        return "failed", reason
    # SIGTERM, as Prefect and the command line raise it, or the interpreter's end: neither is a fault.
    return "stopped", "stopped by SIGTERM" if type(error).__name__ in ("TerminationSignal", "Terminated") else "stopped"


def _attempts(run: Run) -> dict[str, int]:
    return {"attempted": run.attempted, "moved": run.moved}


def _stage_seconds(run: Run, parts: Sequence[PartReport], upserts: Sequence[UpsertReport]) -> dict[str, float]:
    seconds = dict(run.seconds)
    for part in parts:
        for name, value in part.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + value
    if upserts:
        seconds["upsert"] = sum(upsert.seconds for upsert in upserts)
    return {name: round(value, 3) for name, value in seconds.items()}


def _write(run: Run, report: dict[str, Any]) -> None:
    if "error" in report:
        report = report | {"error": without_secrets(report["error"])}  # one of another library may have any address
    run.corpus.store.write(run.corpus.paths.report(run.name), json.dumps(report, indent=2).encode())


def _keep_newest(store: Store, folder: str, count: int) -> None:
    for name in only(OF_RUN, store.names(folder))[:-count]:
        store.delete(f"{folder}/{name}")
