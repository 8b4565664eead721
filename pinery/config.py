"""The settings of one corpus, as pydantic models over YAML. The keys are a contract."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from pinery.prices import Prices
from pinery.settings import S3Access, Settings
from pinery.source_kinds import LOCAL_FETCH_THREADS, SOURCE_KINDS, AnySource

if TYPE_CHECKING:
    from pinery.records import ModelCard

Clouds = Literal["aws", "gcp", "azure"]
MAX_WORKERS, MAX_FETCH_THREADS = 64, 256
CACHE_BYTES = 10 << 30
INDEX_NAME_LENGTH = 45


def _counted_in(unit: str) -> Any:
    return Field(json_schema_extra={"unit": unit})


Seconds = Annotated[float, _counted_in("seconds")]
Share = Annotated[float, _counted_in("share")]
Bytes = Annotated[int, _counted_in("bytes")]
Pixels = Annotated[int, _counted_in("pixels")]
Items = Annotated[int, _counted_in("items")]
Images = Annotated[int, _counted_in("images")]
Requests = Annotated[int, _counted_in("requests")]
Queries = Annotated[int, _counted_in("queries")]
Threads = Annotated[int, _counted_in("threads")]
Processes = Annotated[int, _counted_in("processes")]
Cores = Annotated[float, _counted_in("cores")]
Gpus = Annotated[float, _counted_in("GPUs")]
"""Numbers with their units, which docs/config.md shows: every number in a config has one of these types."""


TAKEN_NAMES = {"state.json", "lance"}
"""The names in a state that no corpus can have; `lance` is the folder of the embedded indexes. The folders `models`,
`owners` and `exports` need no protection, because their files have names that no file of a corpus has."""


class ModelSettings(Settings):
    """A model reference and how to load it."""

    name: str = Field(
        description="This is the reference, such as `descriptor` or `torchvision:resnet50#features` (docs/models.md)."
    )
    weights: str | None = Field(
        None,
        description="Weights come from this file: a path, an s3:// or https:// address, or `$VARIABLE` if secret.",
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="The file of `weights` must have this SHA-256."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="The network computes in this; `auto` is decided on the corpus' first images and kept."
    )
    decode: Literal["auto", "exact", "scaled", "fast", "cuda"] = Field(
        "auto",
        description="JPEGs are decoded this way (docs/throughput.md); `auto` is decided on the first images and kept.",
    )
    batch: Literal["auto"] | Annotated[Images, Field(ge=1)] = Field(
        "auto", description="So many images are computed at once; `auto` finds out how many pay."
    )
    device: str = Field(
        "auto", description="The model computes here: `cpu`, `cuda`, `cuda:1`, `mps`; `auto` takes the best there is."
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description="torch.compile speeds networks up; `auto` tries it where it may pay. `descriptor` has no network.",
    )

    @field_validator("compile", mode="before")
    @classmethod
    def _on_and_off_are_booleans_in_yaml(cls, value: Any) -> Any:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _weights_come_with_a_sum(self) -> ModelSettings:
        if self.weights is not None and self.sha256 is None:
            raise ValueError("`weights` needs the expected `sha256` beside it")
        return self


class AnyIndexSettings(Settings):
    """The settings that every kind of index has."""

    metric: Literal["cosine", "dotproduct", "euclidean"] = Field(
        "cosine", description="The distance between vectors is measured by this."
    )
    prefix: str = Field(
        "pinery",
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=20,
        description="The index' name begins with this where `name` is not given.",
    )
    name: str | None = Field(
        None,
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=INDEX_NAME_LENGTH,
        description="The index has this name; by default `<prefix>-<model>-<model key>`.",
    )

    def name_for(self, card: ModelCard) -> str:
        """Return the index' name for vectors of that model: the name that is set, or the default."""
        if self.name:
            return self.name
        room = INDEX_NAME_LENGTH - len(self.prefix) - len(card.key) - 2
        return f"{self.prefix}-{card.slug[:room].strip('-')}-{card.key}"


class LanceSettings(AnyIndexSettings):
    """The embedded index: LanceDB in a folder of the state."""

    kind: Literal["lance"] = Field("lance", description="This names the kind of index.")


class PineconeSettings(AnyIndexSettings):
    """A serverless Pinecone index; key and host come from the environment, as Pinecone's SDK takes them."""

    kind: Literal["pinecone"] = Field(description="This names the kind of index.")
    cloud: Clouds = Field("aws", description="A new index is made in this cloud.")
    region: str = Field("us-east-1", description="A new index is made in this region of the cloud.")
    deletion_protection: bool = Field(False, description="Pinecone refuses to delete the new index.")
    transport: Literal["rest", "grpc"] = Field(
        "rest", description="Upserts are sent this way; gRPC sends a third of the bytes."
    )
    integration_id: str | None = Field(
        None, description="This storage integration of Pinecone may read the state's bucket."
    )
    ready_timeout: Seconds = Field(300, gt=0, description="A new index may take so long to become ready.")


IndexSettings = Annotated[LanceSettings | PineconeSettings, Field(discriminator="kind")]


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


class Config(Settings):
    """One corpus: its source, model, index and state. Paths are absolute once loaded."""

    corpus: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", description="The corpus has this name.")
    namespace: str = Field(
        "",
        max_length=512,
        description="The corpus fills this namespace of the index.",
        json_schema_extra={"shown": "the corpus' name"},
    )
    source: AnySource = Field(description="The images are listed from here.")
    model: ModelSettings = Field(description="This model embeds them: a reference alone, or the keys below.")
    index: IndexSettings = Field(LanceSettings(kind="lance"), description="This index is kept true.")
    state: str = Field(
        description="Listings, vectors and ledgers are kept here: in a folder, or below s3://bucket/prefix."
    )
    state_s3: S3Access = Field(
        S3Access(),
        description="The S3 API of the state is reached by these, where the environment doesn't say it all.",
    )
    cache_bytes: Bytes = Field(
        CACHE_BYTES,
        ge=0,
        description="Copies of a state on S3 take so much of this disk; what was used longest ago goes first.",
    )
    run: RunSettings = Field(RunSettings(), description="These are the part size, the guards and the limits of a run.")
    upsert: UpsertSettings = Field(
        UpsertSettings(), description="These are the limits of requests to the index, and of the wait in an outage."
    )
    runner: RunnerSettings = Field(RunnerSettings(), description="Parts are embedded here.")
    keep: str = Field(
        "14d",
        pattern=r"^[1-9][0-9]{0,4}[dh]$",
        description="After a promotion, runs keep the former live index true for so long: days or hours, as in `36h`.",
    )
    gate: GateSettings = Field(
        GateSettings(), description="These decide whether an index with another model may take the live one's place."
    )
    prices: Prices = Field(Prices(), description="A plan counts the cost of Pinecone by these.")
    page_url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#\s]+/?$",
        description="People reach the page of `pinery serve` here, so that the pages of runs in Prefect can link to its"
        " pictures.",
    )

    @field_validator("model", mode="before", json_schema_input_type=str | ModelSettings)
    @classmethod
    def _a_reference_is_a_model(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if isinstance(data, dict):
            data = dict(data)
            if data.get("namespace") in (None, "") and isinstance(data.get("corpus"), str):
                data["namespace"] = data["corpus"]
            data["run"] = _with_fetch_threads(data.get("run", {}), data.get("source"))
        return data

    @field_validator("corpus")
    @classmethod
    def _corpus_is_no_file_of_the_state(cls, value: str) -> str:
        if value.lower() in TAKEN_NAMES:
            raise ValueError(
                f"{value!r} is a name that the state needs itself; choose another name. A corpus that had this name"
                " goes on, without embedding anything, once its folder in the state has the new name"
            )
        return value

    @field_validator("namespace", "state")
    @classmethod
    def _is_text(cls, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{value!r} is not valid Unicode, so no file can have this name") from None
        if "\0" in value:
            raise ValueError("has a NUL character")
        return value

    @property
    def kept_for(self) -> timedelta:
        """The time for which a former live index is kept true."""
        return timedelta(**{"days" if self.keep.endswith("d") else "hours": int(self.keep[:-1])})

    @model_validator(mode="after")
    def _import_is_possible(self) -> Config:
        if self.upsert.load == "import" and (obstacle := self.import_obstacle()):
            raise ValueError(f"upsert.load: import is not possible, because {obstacle}; use auto or upsert")
        return self

    @model_validator(mode="after")
    def _ray_nodes_can_work(self) -> Config:
        if self.runner.kind == "ray":
            if not self.is_s3_state and not Path(self.state).is_absolute():
                raise ValueError("with `runner.kind: ray`, `state` is on S3, or an absolute path that all nodes share")
            if self.model.device.startswith("cuda:"):
                raise ValueError("on Ray a worker sees only the GPUs that it was given: set `model.device` to cuda")
            if self.model.device == "cuda" and not self.runner.num_gpus:
                raise ValueError("`model.device: cuda` needs `runner.num_gpus` on Ray, such as 1, or 0.25 to share one")
        return self

    def import_obstacle(self) -> str | None:
        """Return why Pinecone can't bulk-import from the state, by the config alone; None if it can."""
        if not isinstance(self.index, PineconeSettings):
            return "index.kind is not pinecone"
        if not self.is_s3_state:
            return "`state` is not on S3"
        if self.index.cloud != "aws":
            return f"only indexes on AWS import from S3, and index.cloud is {self.index.cloud}"
        return "the namespace has a slash in its name" if "/" in self.namespace else None

    @property
    def is_s3_state(self) -> bool:
        """True where the state root is an S3 prefix."""
        return self.state.startswith("s3://")


def _with_fetch_threads(run: Any, source: Any) -> Any:
    """Return the settings of a run with `auto` resolved; anything else is left as it is, to be validated later."""
    if not isinstance(run, dict) or run.get("fetch_threads", "auto") != "auto":
        return run
    kind = source.get("kind") if isinstance(source, dict) else getattr(source, "kind", None)
    threads = next((row.fetch_threads for row in SOURCE_KINDS if row.name == kind), LOCAL_FETCH_THREADS)
    return {**run, "fetch_threads": threads}


def absolute(path: str, base: Path) -> str:
    """Return `path` as an absolute path against `base`; URLs stay as they are."""
    if "://" in path:
        return path
    return str((base / Path(path).expanduser()).resolve())


def cache_root() -> Path:
    """Return the cache folder, in `$PINERY_CACHE`, else `$XDG_CACHE_HOME/pinery`, else `~/.cache/pinery`."""
    if own := os.environ.get("PINERY_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "pinery"
    except RuntimeError:  # no home folder, as in some containers
        return Path(tempfile.gettempdir()) / "pinery"
