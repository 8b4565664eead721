"""The history of a corpus from its runs' reports in the state, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Any

from pinery.checkpoint.holder import read_holder
from pinery.checkpoint.root import OF_RUN, CorpusPaths, open_store
from pinery.checkpoint.store import Store
from pinery.config import Config
from pinery.errors import ConfigError, DamagedError, TerminalError
from pinery.reports import History, PastRun, RunReport, RunsCompared
from pinery.steps.read_report import read_report

KEPT = 90
"""The newest reports that a history shows."""
READ_AT_ONCE = 8
LAST, LEAST = 7, 3
"""A run is compared with the median of so many completed runs before it at most, and of so many at least."""
ALIKE = 10
"""Runs that embedded up to so many times as much are of one size: a small run is slow because it has to start."""
FASTER, MORE = 1.25, 2.0
"""From these factors on, a difference from the median is told."""
HANDFUL = 10
"""Fewer images than this are no trend."""

SETTINGS = ("model", "model_key", "decoder", "precision", "kind", "index", "namespace", "limited")
COUNTS = (
    *("listed", "new", "changed", "relabelled", "unchanged", "attempted", "embedded", "reused", "imported", "upserted"),
    *("deleted", "moved", "awaited", "quarantined", "rejected", "held", "parts"),
)
PAST = (
    *("run", "flow", "started", "state", "embedded", "upserted", "deleted", "quarantined", "rejected"),
    *("images_per_second", "seconds", "bottleneck"),
)
"""The fields of a report that a line of the history has."""
RESULT = ("state", "error", "verified", "images_per_second", "bottleneck")


@dataclass(frozen=True, slots=True)
class _Read:
    """The reports that could be read, the newest first, and the files that could not."""

    reports: tuple[RunReport, ...]
    skipped: tuple[Mapping[str, str], ...]


def history(config: Config, most: int = KEPT) -> History:
    """Return the last runs of a corpus, at most so many; loads no model, reaches no index, and makes no state."""
    store, paths = open_store(config), CorpusPaths(config.corpus)
    found = _read(store, paths, most)
    runs = [_past_run(_alive_or_dead(one, store, paths)) for one in found.reports]
    judged = tuple(_with_trend(one, runs[number + 1 :]) for number, one in enumerate(runs))
    return History(config.corpus, store.root, judged, found.skipped)


def last_run(config: Config) -> RunReport | None:
    """Return the newest report; None before the first run. Raises DamagedError where it can't be read."""
    store, paths = open_store(config), CorpusPaths(config.corpus)
    names = _reports_and_others(store, paths)[0]
    report = read_report(store, f"{paths.runs}/{max(names)}") if names else None
    return _alive_or_dead(report, store, paths) if report else None


def compare_runs(config: Config, run: str, other: str) -> RunsCompared:
    """Return what differs between two runs, which are named as a whole, or by the beginning or the end of the name.

    Raises ConfigError where no run has such a name, or several have; DamagedError where a report can't be read.
    """
    store, paths = open_store(config), CorpusPaths(config.corpus)
    names = _reports_and_others(store, paths)[0]
    meant = [_meant(one, names, config.corpus) for one in (run, other)]
    first, second = (_alive_or_dead(_report_of(one, store, paths), store, paths) for one in meant)
    differences = [
        {"group": group, "name": name, "run": one, "other": another}
        for (group, name), (one, another) in _paired(_values(first), _values(second)).items()
        if one != another
    ]
    return RunsCompared(config.corpus, first.run, second.run, tuple(differences))


def _read(store: Store, paths: CorpusPaths, most: int) -> _Read:
    names, foreign = _reports_and_others(store, paths)
    wanted = sorted(names, reverse=True)[:most]
    with ThreadPoolExecutor(READ_AT_ONCE) as threads:
        read = list(threads.map(lambda name: _report_or_reason(store, f"{paths.runs}/{name}"), wanted))
    skipped = [{"file": f"{store.root}/{paths.runs}/{name}", "why": "it is no run's report"} for name in foreign]
    skipped += [
        {"file": f"{store.root}/{paths.runs}/{name}", "why": one}
        for name, one in zip(wanted, read, strict=True)
        if isinstance(one, str)
    ]
    return _Read(tuple(one for one in read if isinstance(one, RunReport)), tuple(skipped))


def _reports_and_others(store: Store, paths: CorpusPaths) -> tuple[list[str], list[str]]:
    """Return the names of the files that have a report's name, and of all others beside them."""
    names = store.names(paths.runs)
    reports = [name for name in names if OF_RUN.fullmatch(name) and name.endswith(".json")]
    return reports, [name for name in names if name not in reports]


def _report_or_reason(store: Store, name: str) -> RunReport | str | None:
    try:
        return read_report(store, name)
    except DamagedError as error:
        return str(error)


def _report_of(run: str, store: Store, paths: CorpusPaths) -> RunReport:
    report = read_report(store, paths.report(run))
    if report is None:
        raise ConfigError(f"the report of run {run} is gone; `pinery runs CONFIG` lists those that are left")
    return report


def _alive_or_dead(report: RunReport, store: Store, paths: CorpusPaths) -> RunReport:
    """Return the report, which is of a run that died if it says `running` and no such run holds the lease."""
    if report.state != "running":
        return report
    try:
        holder = read_holder(store, paths.lease(report.model_key))
    except TerminalError:  # the lease can't be read, so nobody knows
        return report
    return report if holder is not None and holder.run == report.run else replace(report, state="died")


def _past_run(report: RunReport) -> PastRun:
    known = {name: getattr(report, name) for name in PAST}
    return PastRun(wall_seconds=_wall(report), **known)


def _wall(report: RunReport) -> float | None:
    if not report.finished or not report.started:
        return None
    return (datetime.fromisoformat(report.finished) - datetime.fromisoformat(report.started)).total_seconds()


def _with_trend(run: PastRun, before: Sequence[PastRun]) -> PastRun:
    """Return the run compared with the completed ones `before` it, of which the newest is the first."""
    completed = [one for one in before if one.state == "done"][:LAST]
    if run.state != "done" or len(completed) < LEAST:
        return run
    return replace(run, pace=_pace(run, completed), amount=_amount(run, completed))


def _pace(run: PastRun, completed: Sequence[PastRun]) -> str | None:
    alike = [one for one in completed if _are_alike(run, one)]
    if len(alike) < LEAST:
        return None
    # The rate counts where images were embedded; a run without any is as fast as it is short.
    if run.embedded:
        rates = [one.images_per_second or 0.0 for one in alike]
        return _word(run.images_per_second or 0.0, median(rates), FASTER, "faster", "slower")
    walls = [one.wall_seconds or 0.0 for one in alike]
    # Reports tell whole seconds, so that one second is no difference.
    if abs((run.wall_seconds or 0.0) - median(walls)) <= 1:
        return None
    return _word(run.wall_seconds or 0.0, median(walls), FASTER, "slower", "faster")


def _are_alike(run: PastRun, other: PastRun) -> bool:
    one, another = run.embedded or 0, other.embedded or 0
    return max(one, another) <= ALIKE * min(one, another)


def _amount(run: PastRun, completed: Sequence[PastRun]) -> str | None:
    embedded, usual = run.embedded or 0, median(one.embedded or 0 for one in completed)
    return _word(embedded, usual, MORE, "more", "fewer") if max(embedded, usual) >= HANDFUL else None


def _word(value: float, usual: float, factor: float, above: str, below: str) -> str | None:
    if value > usual * factor:
        return above
    return below if value * factor < usual else None


def _meant(given: str, names: Sequence[str], corpus: str) -> str:
    """Return the run that `given` means. Raises ConfigError unless it is exactly one."""
    stems = [name.removesuffix(".json") for name in names]
    found = [one for one in stems if one == given] or [
        one for one in stems if given and (one.startswith(given) or one.endswith(given))
    ]
    if len(found) != 1:
        count = f"{len(found):,} runs" if found else "no run"
        raise ConfigError(f"corpus {corpus} has {count} of the name {given!r}; `pinery runs CONFIG` lists them")
    return found[0]


Values = dict[tuple[str, str], Any]


def _values(report: RunReport) -> Values:
    """Return what is compared of a report, by group and name."""
    found: Values = {("settings", name): getattr(report, name) for name in SETTINGS}
    workers = report.workers
    found["settings", "workers"] = f"{workers.count} {workers.kind}" if workers else None
    found |= {("counts", name): getattr(report, name) for name in COUNTS}
    found |= {("result", name): getattr(report, name) for name in RESULT}
    found["result", "wall_seconds"] = _wall(report)
    unindexed = (report.not_indexed or {}).get("quarantined")
    groups = (
        ("seconds", report.seconds),
        ("left out", report.left_out),
        ("quarantined in this run", report.reasons),
        ("quarantined in all", unindexed),
    )
    return found | {(group, name): value for group, values in groups for name, value in (values or {}).items()}


def _paired(first: Values, second: Values) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Return the values of both, group by group and in the order of the first."""
    keys = list(dict.fromkeys([*first, *second]))
    groups = list(dict.fromkeys(group for group, _ in keys))
    keys.sort(key=lambda key: groups.index(key[0]))
    return {key: (first.get(key), second.get(key)) for key in keys}
