"""The settings of one corpus, as pydantic models over YAML. The keys are a contract."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from pinery.prices import Prices
from pinery.run_settings import GateSettings, RunnerSettings, RunSettings, UpsertSettings
from pinery.settings import Bytes, S3Access, Settings
from pinery.source_kinds import LOCAL_FETCH_THREADS, SOURCE_KINDS, AnySource
from pinery.target_settings import IndexSettings, LanceSettings, ModelSettings, PineconeSettings

CACHE_BYTES = 10 << 30
TAKEN_NAMES = {"state.json", "lance"}
"""The names in a state that no corpus can have; `lance` is the folder of the embedded indexes. The folders `models`,
`owners` and `exports` need no protection, because their files have names that no file of a corpus has."""


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
    def _pinecone_takes_the_namespace(self) -> Config:
        if isinstance(self.index, PineconeSettings) and not (self.namespace.isascii() and self.namespace.strip()):
            raise ValueError(
                f"namespace: Pinecone takes ASCII characters, and not only spaces, and this is {self.namespace!r};"
                " choose another name"
            )
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
