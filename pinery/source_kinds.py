"""The kinds of source: one row each, and the settings that a config has for it. Imports none of the sources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from pinery.settings import S3Access, Settings

LOCAL_FETCH_THREADS, S3_FETCH_THREADS = 16, 64
"""The threads that `run.fetch_threads: auto` means: S3 answers late, and many at once (benchmarks/s3_fetch.py)."""
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".jpg_large", ".jpg-large", ".mpo", ".jps"),
    *(".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif", ".avifs"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ico", ".tga", ".ppm", ".pgm", ".pbm", ".pnm"),
)
"""The endings, in small letters, of the files that Pinery decodes: they decide what is listed, not what it is."""
HEIC_SUFFIXES = (".heic", ".heif", ".hif", ".heics", ".heifs")
"""The endings of files that it decodes only with the extra `heic` installed."""


class SourceBase(Settings):
    """The settings of every kind of source."""

    kind: str = Field(description="This names the kind of source.")
    metadata: str | None = Field(
        None,
        description="Named groups of this regex over the key are metadata; `parent` makes the folder's name a label.",
    )
    sidecar: str | None = Field(
        None, description="This CSV or Parquet file, with an `id` column, adds its other columns to the metadata."
    )
    sidecar_types: dict[str, Literal["text", "number", "boolean", "list"]] = Field(
        default={},
        description="Columns of the sidecar are read as these, by name, instead of as what their values look like.",
    )
    ids: Literal["key", "md5-path"] = Field(
        "key", description="An item's id is its key (the path below the source), or the MD5 of its path."
    )
    uri_key: str | None = Field(
        None,
        min_length=1,
        pattern=r"^[^$]",
        description="This key of the metadata gets the item's uri; no key by default.",
    )

    @model_validator(mode="after")
    def _types_are_of_a_sidecar(self) -> SourceBase:
        if self.sidecar_types and self.sidecar is None:
            raise ValueError("`sidecar_types` says how a sidecar is read, and there is no `sidecar`")
        return self

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


class FilesSource(SourceBase):
    """The settings of sources that list files: they say which files are listed."""

    suffixes: list[str] = Field(
        default_factory=lambda: [*IMAGE_SUFFIXES, *HEIC_SUFFIXES],
        description="Files with these endings, in any case, are listed; an empty list takes every file.",
    )
    exclude: list[str] = Field(
        default=[],
        description="Files and folders that match these patterns, as in a .gitignore, are left out.",
    )

    @field_validator("exclude")
    @classmethod
    def _patterns_can_be_read(cls, value: list[str]) -> list[str]:
        if value:
            from pathspec import GitIgnoreSpec  # most corpora exclude nothing

            try:
                GitIgnoreSpec.from_lines(value)
            except (ValueError, re.error) as error:
                raise ValueError(f"not a pattern ({error}); write it as in a .gitignore") from None
        return value


class FolderSource(FilesSource):
    """A folder, read recursively."""

    kind: Literal["folder"] = Field(description="This names the kind of source.")
    path: str = Field(description="The images are in this folder.")
    version: Literal["stat", "content"] = Field(
        "stat",
        description="A file has changed when its size or times have, or its hash has, taken anew where those moved.",
    )


class TorchvisionSource(SourceBase):
    """One or more torchvision datasets with `(image, label)` rows."""

    kind: Literal["torchvision"] = Field(description="This names the kind of source.")
    datasets: list[str] = Field(
        min_length=1, description="These are names of torchvision's datasets, such as `CIFAR10`."
    )
    split: str = Field(
        "train", description="This part of each dataset is listed: `train`, `test`, or another that it has."
    )
    root: str = Field("../data/torchvision", description="Archives are downloaded and unpacked here.")
    download: bool = Field(True, description="An archive that is not there is downloaded.")


class S3Source(S3Access, FilesSource):
    """Objects under an S3 prefix."""

    kind: Literal["s3"] = Field(description="This names the kind of source.")
    uri: str = Field(description="The images are below this address: `s3://bucket` or `s3://bucket/prefix`.")

    @field_validator("uri")
    @classmethod
    def _is_s3(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "s3" or not parts.netloc:
            raise ValueError("must be s3://bucket or s3://bucket/prefix")
        return value


@dataclass(frozen=True, slots=True)
class SourceKind:
    """One kind of source."""

    settings: type[SourceBase]
    """Its settings, whose `kind` has the name as its only value."""
    door: str
    """The class of the source, as `module:name`: called with the settings and the past, it returns a `Source`."""
    paths: tuple[str, ...] = ()
    """Its settings that are paths of this machine."""
    fetch_threads: int = LOCAL_FETCH_THREADS
    """The threads that `run.fetch_threads: auto` means."""

    @property
    def name(self) -> str:
        """The value of `source.kind`."""
        [name] = get_args(self.settings.model_fields["kind"].annotation)
        return str(name)


SOURCE_KINDS = (
    SourceKind(FolderSource, "pinery.sources.folder:Folder", paths=("path",)),
    SourceKind(TorchvisionSource, "pinery.sources.torchvision:TorchvisionDatasets", paths=("root",)),
    SourceKind(S3Source, "pinery.sources.s3:S3Prefix", fetch_threads=S3_FETCH_THREADS),
)
"""A new kind is its settings, a row here, and the file that the row's door names."""

if TYPE_CHECKING:
    AnySource = SourceBase
else:
    AnySource = Annotated[Union[tuple(row.settings for row in SOURCE_KINDS)], Field(discriminator="kind")]  # noqa: UP007
