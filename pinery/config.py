"""The settings of one corpus: pydantic models over YAML; the keys are a contract."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Clouds = Literal["aws", "gcp", "azure"]
MAX_WORKERS, MAX_FETCH_THREADS = 64, 256
LOCAL_FETCH_THREADS, S3_FETCH_THREADS = 16, 64
"""What `run.fetch_threads: auto` is: S3 answers late, and many at once (benchmarks/s3_fetch.py)."""


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceBase(Settings):
    """What every source kind takes."""

    metadata: str | None = Field(None, description="A regex over the key with named groups, or `parent`.")
    sidecar: str | None = Field(None, description="A CSV or Parquet file with an `id` column and metadata columns.")
    ids: Literal["key", "md5-path"] = "key"

    @field_validator("metadata")
    @classmethod
    def _metadata_is_parent_or_regex(cls, value: str | None) -> str | None:
        if value is None or value == "parent":
            return value
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression ({error}); allowed: `parent` or a regex") from None
        if not groups:
            raise ValueError("the regex has no named group; write it as (?P<label>...)")
        return value


class FolderSource(SourceBase):
    """A folder, read recursively."""

    kind: Literal["folder"]
    path: str
    version: Literal["stat", "content"] = "stat"


class TorchvisionSource(SourceBase):
    """One or more torchvision datasets with `(image, label)` rows."""

    kind: Literal["torchvision"]
    datasets: list[str] = Field(min_length=1)
    split: str = "train"
    root: str = Field("../data/torchvision", description="Where archives are downloaded to and unpacked.")
    download: bool = True


class S3Source(SourceBase):
    """Objects under an S3 prefix."""

    kind: Literal["s3"]
    uri: str
    suffixes: list[str] = Field(
        default=[".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"],
        description="Endings of keys, in any case; an empty list takes every object.",
    )
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None

    @field_validator("uri")
    @classmethod
    def _is_s3(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "s3" or not parts.netloc:
            raise ValueError("must be s3://bucket or s3://bucket/prefix")
        return value


Source = Annotated[FolderSource | TorchvisionSource | S3Source, Field(discriminator="kind")]


class ModelSettings(Settings):
    """A model reference and how to load it."""

    name: str
    weights: str | None = Field(None, description="A path, s3:// or https:// address of a weights file.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    decode: Literal["auto", "exact", "scaled", "fast", "cuda"] = "auto"
    batch: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    device: str = "auto"
    compile: Literal["auto", "on", "off"] = Field("auto", description="Whether torch.compile speeds the network up.")

    @field_validator("compile", mode="before")
    @classmethod
    def _on_and_off_are_booleans_in_yaml(cls, value: Any) -> Any:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _weights_come_with_a_sum(self) -> ModelSettings:
        if self.weights is not None and self.sha256 is None:
            raise ValueError("`weights` needs the expected `sha256` beside it")
        return self


class LanceSettings(Settings):
    """The embedded index: LanceDB in a folder of the state."""

    kind: Literal["lance"] = "lance"
    metric: Literal["cosine", "dotproduct", "euclidean"] = "cosine"
    prefix: str = Field("pinery", pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=20)
    name: str | None = Field(None, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=45)


class PineconeSettings(LanceSettings):
    """A serverless Pinecone index; key and host come from the environment, as Pinecone's SDK takes them."""

    kind: Literal["pinecone"]  # type: ignore[assignment]  # narrows the discriminator of the shared settings
    cloud: Clouds = "aws"
    region: str = "us-east-1"
    deletion_protection: bool = False
    transport: Literal["rest", "grpc"] = Field("rest", description="Of upserts; gRPC sends a third of the bytes.")
    integration_id: str | None = Field(None, description="Pinecone's storage integration that may read the state's S3.")
    ready_timeout: float = Field(300, gt=0, description="Seconds to wait for a new index to become ready.")


IndexSettings = Annotated[LanceSettings | PineconeSettings, Field(discriminator="kind")]


class RunSettings(Settings):
    """Part size and guards."""

    part_rows: int = Field(16384, ge=1, le=1_000_000)
    delete_guard: float = Field(0.2, ge=0, le=1)
    change_guard: float = Field(0.5, ge=0, le=1)
    quarantine_guard: float = Field(0.05, ge=0, le=1)
    max_pixels: int = Field(64_000_000, ge=1)
    max_bytes: int = Field(64 * 1024 * 1024, ge=1)
    fetch_threads: int = Field(
        LOCAL_FETCH_THREADS,
        ge=1,
        le=MAX_FETCH_THREADS,
        description="`auto`: 64 for an S3 source, 16 for any other; of each worker.",
    )
    lease_ttl: float = Field(120, ge=1, description="Seconds after which a silent holder on another host is dead.")
    stall_timeout: float = Field(1800, gt=0, description="Seconds without progress after which a run fails itself.")


class UpsertSettings(Settings):
    """How hard the index is driven, and how long an outage is waited out."""

    max_concurrency: int = Field(16, ge=1, le=64)
    outage_patience: float = Field(900, ge=0, description="Seconds.")
    load: Literal["auto", "upsert", "import"] = "auto"


class RunnerSettings(Settings):
    """Where parts are embedded."""

    kind: Literal["auto", "threads", "processes"] = Field(
        "auto", description="`auto`: one process per GPU where there are several, else threads of the run's process."
    )
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=MAX_WORKERS)] = Field(
        "auto", description="Processes; `auto`: one per GPU, or one."
    )

    @model_validator(mode="after")
    def _workers_are_processes(self) -> RunnerSettings:
        if self.kind == "threads" and self.workers not in ("auto", 1):
            raise ValueError("`workers` are processes; remove it, or set `kind: processes`")
        return self


class S3StateSettings(Settings):
    """How the S3 API that holds the state is reached, where the environment doesn't say it all."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None


class Config(Settings):
    """One corpus: its source, model, index and state. Paths are absolute once loaded."""

    corpus: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    namespace: str = Field("", max_length=512)
    source: Source
    model: ModelSettings
    index: IndexSettings = LanceSettings(kind="lance")
    state: str
    state_s3: S3StateSettings = S3StateSettings()
    run: RunSettings = RunSettings()
    upsert: UpsertSettings = UpsertSettings()
    runner: RunnerSettings = RunnerSettings()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if isinstance(data, dict):
            data = dict(data)
            if isinstance(data.get("model"), str):
                data["model"] = {"name": data["model"]}
            if data.get("namespace") in (None, "") and isinstance(data.get("corpus"), str):
                data["namespace"] = data["corpus"]
            data["run"] = _with_fetch_threads(data.get("run", {}), data.get("source"))
        return data

    @model_validator(mode="after")
    def _import_is_possible(self) -> Config:
        if self.upsert.load == "import" and (obstacle := self.import_obstacle()):
            raise ValueError(f"upsert.load: import is not possible, because {obstacle}; use auto or upsert")
        return self

    def import_obstacle(self) -> str | None:
        """Why Pinecone can't bulk-import from the state, as far as the config tells; None if it can."""
        if not isinstance(self.index, PineconeSettings):
            return "index.kind is not pinecone"
        if not self.is_s3_state:
            return "`state` is not on S3"
        if self.index.cloud != "aws":
            return f"only indexes on AWS import from S3, and index.cloud is {self.index.cloud}"
        return "the namespace has a slash in its name" if "/" in self.namespace else None

    @property
    def is_s3_state(self) -> bool:
        """Whether the state root is an S3 prefix."""
        return self.state.startswith("s3://")


def _with_fetch_threads(run: Any, source: Any) -> Any:
    """The settings of a run with `auto` resolved; anything else as it came, for its own validation to judge."""
    if not isinstance(run, dict) or run.get("fetch_threads", "auto") != "auto":
        return run
    kind = source.get("kind") if isinstance(source, dict) else getattr(source, "kind", None)
    return {**run, "fetch_threads": S3_FETCH_THREADS if kind == "s3" else LOCAL_FETCH_THREADS}


def absolute(path: str, base: Path) -> str:
    """`path` as an absolute path against `base`; URLs stay as they are."""
    if "://" in path:
        return path
    return str((base / Path(path).expanduser()).resolve())


def cache_root() -> Path:
    """Where what can be made again is kept: `$PINERY_CACHE`, else `$XDG_CACHE_HOME/pinery`, else `~/.cache/pinery`."""
    if own := os.environ.get("PINERY_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "pinery"
    except RuntimeError:  # no home folder, as in some containers
        return Path(tempfile.gettempdir()) / "pinery"
