"""The settings of a run: its limits and guards, its requests, its workers, and the gate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema, model_validator

from pinery.settings import (
    Bytes,
    Cores,
    Gpus,
    Items,
    Pixels,
    Processes,
    Queries,
    Requests,
    Seconds,
    Settings,
    Share,
    Threads,
)
from pinery.source_kinds import LOCAL_FETCH_THREADS

MAX_WORKERS, MAX_FETCH_THREADS = 64, 256


class RunSettings(Settings):
    """The size of parts, the guards and the limits of a run."""

    part_rows: Items = Field(
        16384,
        ge=1,
        le=1_000_000,
        description="So many items are one part, which one task embeds and publishes as one file.",
    )
    delete_guard: Share = Field(
        0.2, ge=0, le=1, description="A plan that deletes more than this of what the index holds is refused."
    )
    change_guard: Share = Field(
        0.5, ge=0, le=1, description="A plan that changes more than this of the items, and over 1,000, is refused."
    )
    relabel_guard: Share = Field(
        0.2,
        ge=0,
        le=1,
        description="A plan by which more than this of the index' rows, and over 20, lose metadata is refused.",
    )
    quarantine_guard: Share = Field(
        0.05,
        ge=0,
        le=1,
        description="A run stops when more than this of the attempts, and over 100, turn out to be bad images.",
    )
    max_pixels: Pixels = Field(64_000_000, ge=1, description="An image with more is a bad one.")
    max_bytes: Bytes = Field(64 * 1024 * 1024, ge=1, description="A file with more is a bad one.")
    fetch_threads: Annotated[
        Threads,
        Field(ge=1, le=MAX_FETCH_THREADS),
        WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_FETCH_THREADS}]}),
    ] = Field(
        LOCAL_FETCH_THREADS,
        description="Each worker fetches so many images at once; `auto` is 64 from an S3 source, 16 from any other.",
        json_schema_extra={"shown": "`auto`", "unit": "threads"},
    )
    lease_ttl: Seconds = Field(
        120,
        ge=1,
        le=3600,
        description="A lease may be taken from a holder elsewhere that was silent for so long.",
    )
    stall_timeout: Seconds = Field(1800, gt=0, description="A run without progress for this long fails itself.")


class UpsertSettings(Settings):
    """The limits of requests to the index, and of the wait in an outage."""

    max_concurrency: Requests = Field(
        16,
        ge=1,
        le=64,
        description="At most so many requests to Pinecone are in flight; an index of kind `lance` takes one at a time.",
    )
    outage_patience: Seconds = Field(900, ge=0, description="An outage of the index is waited out for so long.")
    request_timeout: Seconds = Field(
        60, ge=1, le=600, description="A request to Pinecone is over after this, whether it was answered or not."
    )
    load: Literal["auto", "upsert", "import"] = Field(
        "auto",
        description="A new namespace is filled this way; `auto` imports from 1,000,000 rows on, if that is possible.",
    )


class RunnerSettings(Settings):
    """The place where parts are embedded."""

    kind: Literal["auto", "threads", "processes", "ray"] = Field(
        "auto",
        description="Parts are embedded by these; on a GPU `auto` takes several processes, on a CPU threads."
        " `ray` takes actors on a Ray cluster (docs/ray.md).",
    )
    workers: Literal["auto"] | Annotated[Processes, Field(ge=1, le=MAX_WORKERS)] = Field(
        "auto",
        description="So many processes or actors embed; `auto` follows from the GPUs, the cores and the images.",
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="Ray's cluster is here, as `ray.init` takes it: `auto`, `host:6379` or `ray://host:10001`.",
        json_schema_extra={"shown": "a Ray of its own on this machine"},
    )
    num_cpus: Cores = Field(1.0, ge=0, le=1024, description="Each worker on Ray takes so many cores of its node.")
    num_gpus: Gpus = Field(
        0.0, ge=0, le=64, description="Each worker on Ray takes so many GPUs of its node; fractions share one."
    )

    @model_validator(mode="after")
    def _workers_are_processes(self) -> RunnerSettings:
        if self.kind == "threads" and self.workers not in ("auto", 1):
            raise ValueError("`workers` are processes; remove it, or set `kind: processes`")
        return self

    @model_validator(mode="after")
    def _ray_has_its_own_keys(self) -> RunnerSettings:
        if self.kind != "ray":
            own = {name: type(self).model_fields[name].default for name in ("address", "num_cpus", "num_gpus")}
            given = [name for name, default in own.items() if getattr(self, name) != default]
            if given:
                raise ValueError(f"only `kind: ray` has {' and '.join(f'`{name}`' for name in given)}")
        elif not self.num_cpus and not self.num_gpus:
            raise ValueError("`num_cpus` and `num_gpus` can't both be 0: nothing would say how many workers fit")
        elif self.num_gpus > 1 and self.num_gpus % 1:
            raise ValueError(f"`num_gpus` is a whole number, or less than 1 to share a GPU, not {self.num_gpus:g}")
        return self


class GateSettings(Settings):
    """The judgement of an index with another model, before it may take the live one's place (docs/backfill.md)."""

    queries: Queries = Field(
        200,
        ge=1,
        le=10_000,
        description="So many items are searched for by both models, up to four times as many if these decide nothing.",
    )
    recall: Share = Field(
        0.95,
        ge=0,
        le=1,
        description="The index must find at least this of the ten nearest vectors that an exact search finds.",
    )
    precision_drop: Share = Field(
        0.02, ge=0, le=1, description="Same-label precision@5 may fall by this, from the live model to the new one."
    )
    confidence: Share = Field(
        0.95, ge=0.5, le=0.999, description="The bootstrap interval of that difference has this confidence."
    )
