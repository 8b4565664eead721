"""The report of a run, as the state has it and `run --json` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from pinery.reports.gate import Gate
from pinery.reports.plain import plain


@dataclass(frozen=True, slots=True)
class TargetReport:
    """The result of a run for one of its targets."""

    role: str
    """`live`, `kept` for one that is kept true beside it, or `candidate` for one that a backfill filled."""
    index: str
    namespace: str
    model_key: str
    embedded: int
    upserted: int
    deleted: int
    held: int | None
    """Rows that the index acknowledged to hold; None where the run left the target out."""
    verified: bool
    error: str | None = None
    """The reason why a kept target was left out of the run."""


@dataclass(frozen=True, slots=True)
class WorkersReport:
    """Where a run embedded, and how well the machine was used."""

    kind: str
    """`threads`, `processes` or `ray`, as in the setting `runner.kind`."""
    count: int
    """The number of parts that were made side by side."""
    why: str
    """The reason for this kind and number."""
    gpu_busy: float | None
    """The share of time that the GPUs computed; None where there is none, or nvidia-smi is missing."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The vectors of a run beside those that the checkpoint had before, from a sample of both."""

    new: int
    old: int
    """The numbers of sampled vectors."""
    cosine: float
    """The cosine between the mean of the new vectors and that of the old ones."""
    norm: float
    """The mean norm of the new vectors divided by that of the old ones."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run of a corpus. Fields are None while they aren't known; counts are those of the main target."""

    run: str
    corpus: str
    model: str
    model_key: str
    precision: str
    decoder: str
    probe: Mapping[str, float]
    """The figures by which `auto` was decided."""
    index: str
    kind: str
    namespace: str
    started: str
    """ISO 8601 in UTC, as all times here."""
    flow: str = "reindex"
    """The flow that made the run: `reindex`, `upsert`, `verify` or `backfill`."""
    state: str = "running"
    """`running`, `done`, `failed`, `refused` or `stopped`."""
    page_url: str | None = None
    """The address of the search page, where the config has it."""

    # These are known once the plan passed the guards.
    listing: str | None = None
    """The name of the listing in the state; it is the current one from then on."""
    limited: int | None = None
    left_out: Mapping[str, int] | None = None
    """The number of files that the listing left out, by kind."""
    remarks: tuple[str, ...] | None = None
    """Other remarks on the listing, for the user."""
    listed: int | None = None
    new: int | None = None
    changed: int | None = None
    relabelled: int | None = None
    unchanged: int | None = None

    # These are known at the end, whatever it was.
    finished: str | None = None
    attempted: int | None = None
    """Items for which a vector or an error was published."""
    moved: int | None = None
    seconds: Mapping[str, float] | None = None
    """Wall time of each stage."""
    quarantined: int | None = None
    rejected: int | None = None
    not_indexed: Mapping[str, Mapping[str, int]] | None = None
    """The number of items of the corpus that are not in the index, by kind and reason."""
    verified: bool | None = None

    # These are known where the run failed.
    error: str | None = None
    examples: tuple[Mapping[str, str], ...] | None = None
    """Some of the items that could not be embedded, with reasons."""

    # These are known where the run is done.
    deleted: int | None = None
    awaited: int | None = None
    """Items whose listed version is not embedded yet."""
    embedded: int | None = None
    reused: int | None = None
    """Vectors that were taken from the checkpoint, because the same bytes had been embedded before."""
    imported: int | None = None
    upserted: int | None = None
    retired: tuple[Mapping[str, str], ...] | None = None
    """Indexes that no run keeps true any more, each with the command that removes it."""
    parts: int | None = None
    images_per_second: float | None = None
    bottleneck: str | None = None
    shares: Mapping[str, float] | None = None
    """The share of each stage in the run's wall time; of `fetch`, `decode` and `infer`, in that of embedding."""
    bottleneck_line: str | None = None
    """A sentence on the bottleneck, and on what would move it."""
    rows_per_second: float | None = None
    """Rows that the index acknowledged in a second of upserting."""
    peak_memory: int | None = None
    """The most bytes that the run's own process held, since it started."""
    retries: int | None = None
    """Requests to the index that were made again."""
    throttled: int | None = None
    """Requests that the index refused because there were too many."""
    waited_seconds: float | None = None
    """Seconds that requests waited before they were made again, in sum over all of them."""
    write_units: int | None = None
    """The write units that the upserts took, by the usual size of metadata; None for an index that has none."""
    dollars: float | None = None
    """Their cost, by the config's prices; None where these don't say."""
    drift: Drift | None = None
    """None where fewer than 50 vectors are new or old."""
    workers: WorkersReport | None = None
    """Where the images were embedded; None where there were none."""
    machine: str | None = None
    """The kind of machine that embedded and upserted, by which plans find runs like their own."""
    reasons: Mapping[str, int] | None = None
    """The number of items that this run quarantined, by reason."""
    notes: tuple[str, ...] | None = None
    held: int | None = None
    gate: Gate | None = None
    """The judgement of the candidate that a backfill filled."""
    promoted: bool | None = None
    """True where a backfill made its candidate the live target."""
    targets: tuple[TargetReport, ...] | None = None
    """A row for each target that was brought true, the main one first."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report with what is known; once there is a plan, `limited` is there, even where it is null."""
        planned = self.listing is not None
        data = plain(asdict(self))
        return {name: value for name, value in data.items() if value is not None or (name == "limited" and planned)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunReport:
        """Return the report that was written, maybe by another version of Pinery; fields that it lacks stay empty.

        Raises TypeError where `data` is not a report.
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"a report is an object, not {type(data).__name__}")
        known: dict[str, Any] = {one.name: "" for one in fields(cls) if one.default is MISSING} | {"probe": {}}
        known |= {one.name: data[one.name] for one in fields(cls) if one.name in data}
        if known.get("targets") is not None:
            known["targets"] = tuple(TargetReport(**row) for row in known["targets"])
        if known.get("drift") is not None:
            known["drift"] = Drift(**known["drift"])
        if known.get("workers") is not None:
            known["workers"] = WorkersReport(**known["workers"])
        if known.get("gate") is not None:
            known["gate"] = Gate.from_dict(known["gate"])
        return cls(**known)
