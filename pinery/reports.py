"""The results of commands and flows as frozen types, which terminal, `--json`, Prefect's artifacts and state share.

`to_dict` gives what `--json` prints; its keys are a contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class TargetReport:
    """The result of a run for one of its targets."""

    role: str
    """`live`, or `kept` for one that is kept true beside it."""
    index: str
    namespace: str
    model_key: str
    embedded: int
    upserted: int
    deleted: int
    held: int
    """Rows that the index acknowledged to hold."""
    verified: bool


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
    state: str = "running"
    """`running`, `done`, `failed`, `refused` or `stopped`."""

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
    workers: WorkersReport | None = None
    """Where the images were embedded; None where there were none."""
    reasons: Mapping[str, int] | None = None
    """The number of items that this run quarantined, by reason."""
    notes: tuple[str, ...] | None = None
    held: int | None = None
    targets: tuple[TargetReport, ...] | None = None
    """A row for each target that was brought true, the main one first."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report with what is known; once there is a plan, `limited` is there, even where it is null."""
        planned = self.listing is not None
        data = _plain(asdict(self))
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
        if known.get("workers") is not None:
            known["workers"] = WorkersReport(**known["workers"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The time and money that a run would take; None where a rate is not known, or the index costs nothing."""

    embed_seconds: float | None
    write_units: int | None
    dollars: float | None
    import_dollars: float | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The changes that a run would make, counted in ids."""

    corpus: str
    model_key: str | None
    index: str | None
    listed: int
    new: int
    changed: int
    relabelled: int
    deleted: int
    unchanged: int
    quarantined: int
    rejected: int
    to_embed: int
    to_upsert: int
    limited: int | None
    refused: tuple[str, ...]
    """The reasons why the run would be refused."""
    left_out: Mapping[str, int]
    remarks: tuple[str, ...]
    estimate: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return the preview as `plan --json` prints it."""
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between an index and the live rows, in ids; each id counts once."""

    expected: int
    """Live rows that the index did not reject."""
    held: int
    """Ids that the index listed."""
    missing: int
    """Ids that are live and not in the index."""
    extra: int
    """Ids that are in the index and not live."""
    stale: int
    """Ids in the index for which the ledger has another version or other metadata, or is in doubt."""
    wrong: int
    """Ids with another vector than the checkpoint's."""
    wrong_metadata: int
    """Ids with other metadata than the listing's."""
    checked: int
    """Rows whose vector and metadata were fetched and compared."""
    awaited: int
    """Items listed in a version that is not embedded yet; what the index holds for them stays, however old."""
    rounded: int
    """Compared vectors that differ by rounding alone: within 1e-6 relative, but not equal as float32."""

    @property
    def different(self) -> int:
        """The number of ids that differ in any way."""
        return self.missing + self.extra + self.stale + self.wrong + self.wrong_metadata


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of `pinery verify`: the differences that it found and repaired."""

    run: str
    corpus: str
    model_key: str
    kind: str
    index: str
    namespace: str
    full: bool
    counts: Comparison
    differences: str | None
    """The path of the file with the ids that differ."""
    repaired: Mapping[str, int] | None
    """The numbers of rows that were `upserted` and `deleted`; None where nothing had to be repaired."""
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as `verify --json` prints it, with the counts beside the other keys."""
        data = _plain(asdict(self))
        counts: dict[str, Any] = data.pop("counts")
        return data | counts

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VerifyReport:
        """Return the report whose `to_dict` returned `data`."""
        counts = Comparison(**{one.name: data[one.name] for one in fields(Comparison)})
        return cls(counts=counts, **{one.name: data[one.name] for one in fields(cls) if one.name != "counts"})


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a corpus, from its state. Before the first run there is no model, and all counts are 0."""

    corpus: str
    state: str
    """The path or address of the state."""
    model: str | None = None
    model_key: str | None = None
    live: Mapping[str, str] | None = None
    """The live index: its `kind`, `index` and `namespace`."""
    retired: tuple[Mapping[str, str], ...] = ()
    running: str | None = None
    """The run that is under way."""
    last_run: RunReport | None = None
    parts: int = 0
    held: int = 0
    awaited: int = 0
    quarantined: tuple[Mapping[str, str], ...] = ()
    """Listed items that can't be embedded, each with its `id`, `uri` and `reason`."""
    rejected: tuple[Mapping[str, str], ...] = ()
    """Listed items that the index refused, each with its `id`, `uri` and `reason`."""
    left: Mapping[str, int] = field(default_factory=lambda: {"embed": 0, "upsert": 0, "delete": 0})
    """The numbers of items that the next run has to `embed`, `upsert` and `delete`, by the current listing."""

    def to_dict(self) -> dict[str, Any]:
        """Return the status as `status --json` prints it."""
        return _plain(asdict(self)) | {"last_run": self.last_run.to_dict() if self.last_run else None}


@dataclass(frozen=True, slots=True)
class Removal:
    """A namespace that was removed from an index, or would be."""

    corpus: str
    kind: str
    index: str
    namespace: str
    rows: int
    removed: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the removal as `remove --json` prints it."""
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True)
class PastRun:
    """One line of a corpus' history."""

    run: str
    started: str
    state: str
    """As in a run's report; `died` for one that says it is running and isn't."""
    wall_seconds: float | None
    """From its start to its end; None where it has no end."""
    embedded: int | None
    upserted: int | None
    deleted: int | None
    quarantined: int | None
    rejected: int | None
    images_per_second: float | None
    seconds: Mapping[str, float] | None
    """Wall time of each stage."""
    bottleneck: str | None
    pace: str | None = None
    """`slower` or `faster` than the median of the last completed runs of its size; None where it is as fast, or too
    few are known."""
    amount: str | None = None
    """`more` or `fewer` images embedded than the median of the last completed runs."""


@dataclass(frozen=True, slots=True)
class History:
    """The runs of a corpus that the state still has reports of, the newest first."""

    corpus: str
    state: str
    """The path or address of the state."""
    runs: tuple[PastRun, ...]
    skipped: tuple[Mapping[str, str], ...]
    """Files that are no reports of this corpus, each with its `file` and `why`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the history as `runs --json` prints it."""
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True)
class RunsCompared:
    """What differs between the reports of two runs."""

    corpus: str
    run: str
    other: str
    differences: tuple[Mapping[str, Any], ...]
    """Each has a `group` (such as `counts`), a `name`, and its values in `run` and in `other`, maybe null."""

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as `runs CONFIG RUN OTHER --json` prints it."""
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True)
class Check:
    """One line of what `pinery doctor` found."""

    name: str
    verdict: str
    """`ok`, `warning` or `wrong`."""
    found: str
    advice: str = ""
    """What to do next, where there is something to do."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `pinery doctor` found, check by check."""

    config: str
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> str:
        """The worst verdict of all checks."""
        found = {one.verdict for one in self.checks}
        return next((verdict for verdict in ("wrong", "warning") if verdict in found), "ok")

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 1 where something is wrong."""
        return int(self.verdict == "wrong")

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as `doctor --json` prints it."""
        return {"config": self.config, "verdict": self.verdict, "checks": [asdict(one) for one in self.checks]}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A config that `pinery init` wrote, and what it saw of the images."""

    config: str
    """The path of the file."""
    corpus: str
    source: str
    suffixes: Mapping[str, int]
    """The number of images seen, by suffix; the commonest first."""
    left_out: Mapping[str, int]
    """The number of other files seen, by kind."""
    complete: bool
    """True where all files were looked at."""
    metadata: str | None
    """The proposed `source.metadata`; None where names and folders show no labels."""
    labels: tuple[str, ...]
    """Some of the labels that it finds."""

    def to_dict(self) -> dict[str, Any]:
        """Return the proposal as `init --json` prints it."""
        return _plain(asdict(self))


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same data as JSON returns it, with lists in place of tuples."""
    return {key: _plain_value(value) for key, value in data.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _plain(value)
    return [_plain_value(one) for one in value] if isinstance(value, list | tuple) else value
