"""Writes the first config for a folder or an S3 prefix, which runs as it stands and shows what else could be."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from pinery.addresses import holds_secret
from pinery.config import TAKEN_NAMES
from pinery.durable import write_durably
from pinery.errors import ConfigError
from pinery.reports import Proposal
from pinery.source_kinds import FolderSource, S3Source
from pinery.sources.glimpse import Glimpse, glimpse_folder, glimpse_s3
from pinery.sources.guess_labels import guess_labels
from pinery.sources.selection import left_out_line

LONGEST = 60
"""The characters of a corpus' name at most."""
SHOWN_LABELS = 8


def propose_config(where: str, out: str | None = None, *, force: bool = False) -> Proposal:
    """Write a config for the images at a folder or an s3:// address, and return what it says.

    The file is `out`, or else `<corpus>.yaml` in the working directory; with `force` it may take another's place.

    Raises ConfigError where there are no images, or the file can't be written or is there already; AccessDeniedError
    and TransientError where S3 can't be asked.
    """
    is_s3 = where.startswith("s3://")
    if not is_s3 and "://" in where:
        raise ConfigError(f"{where} is neither a folder nor an s3:// address")
    name = corpus_name(where.rpartition("://")[2] if is_s3 else _path(where).name)
    file = Path(os.path.expanduser(out or f"{name}.yaml"))
    _refuse_unwritable(file, force)
    seen = _glimpse_s3(where) if is_s3 else _glimpse_folder(where)
    if not seen.keys and seen.complete:
        left_out = left_out_line(seen.left_out)
        raise ConfigError(f"there is no image in {where}{f': {left_out}' if left_out else ', which is empty'}")
    guess = guess_labels(seen.keys)
    metadata, labels = (guess.metadata, guess.labels[:SHOWN_LABELS]) if guess else (None, ())
    place = where.rstrip("/") if is_s3 else _relative(_path(where), file.resolve().parent)
    proposal = Proposal(str(file), name, place, seen.suffixes(), dict(seen.left_out), seen.complete, metadata, labels)
    _write(file, written(proposal), force)
    return proposal


def corpus_name(text: str) -> str:
    """Return a name that a corpus can have, made of the last part of a path."""
    last = text.rstrip("/").rpartition("/")[2]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).strip("-._")[:LONGEST].rstrip("-._") or "images"
    # A name such as 2024 or true would be no text in YAML without quotes, which people forget.
    return f"{name}-images" if name.lower() in TAKEN_NAMES or not isinstance(yaml.safe_load(name), str) else name


def _path(where: str) -> Path:
    return Path(os.path.expanduser(where)).resolve()


def _glimpse_folder(where: str) -> Glimpse:
    folder = _path(where)
    if not folder.exists():
        raise ConfigError(f"there is no folder {where}; give a folder of images, or s3://bucket/prefix")
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{str(folder)!a} is no valid Unicode, so no config can name it; rename it") from None
    return glimpse_folder(FolderSource(kind="folder", path=str(folder)))


def _glimpse_s3(where: str) -> Glimpse:
    if holds_secret(where):
        raise ConfigError(
            "the address has a password in it; credentials come from the environment, as boto3 takes them"
        )
    try:
        settings = S3Source(kind="s3", uri=where)
    except ValidationError:
        raise ConfigError(f"{where} is no address of S3; write s3://bucket or s3://bucket/prefix") from None
    return glimpse_s3(settings)


def _refuse_unwritable(file: Path, force: bool) -> None:
    if file.is_dir() or not file.resolve().parent.is_dir():
        why = "it is a folder" if file.is_dir() else f"there is no folder {file.resolve().parent}"
        raise ConfigError(f"can't write {file}: {why}")
    if os.path.lexists(file) and not force:
        raise ConfigError(f"{file} is there already; --force replaces it, --out names another file")


def _write(file: Path, text: str, force: bool) -> None:
    try:
        data = text.encode()
        if force:
            write_durably(file, data)
            return
        with file.open("xb") as handle:  # of two at once, the second must not win
            handle.write(data)
    except FileExistsError:
        raise ConfigError(f"{file} is there already; --force replaces it, --out names another file") from None
    except OSError as error:
        raise ConfigError(f"can't write {file}: {error.strerror or error}") from None


def _relative(folder: Path, base: Path) -> str:
    """Return the folder's path against the config's own folder where it is near, else as it is."""
    near = os.path.relpath(folder, base)
    if near.startswith(("~", "../../")) or near == "../.." or "://" in near:
        return str(folder)
    return near if near in (".", "..") or near.startswith("../") else f"./{near}"


def written(proposal: Proposal) -> str:
    """Return the config's text."""
    source = proposal.source
    is_s3 = source.startswith("s3://")
    bucket = urlsplit(source).netloc if is_s3 else "my-bucket"
    values = {
        "seen": _seen(proposal),
        "file": name if (name := Path(proposal.config).name).isprintable() else "CONFIG",
        "corpus": _scalar(proposal.corpus),
        "kind": "s3" if is_s3 else "folder",
        "key": "uri" if is_s3 else "path",
        "source": _scalar(source),
        "metadata": _metadata(proposal),
        "options": S3_OPTIONS if is_s3 else FOLDER_OPTIONS,
        "bucket": bucket,
    }
    return TEMPLATE.format(**values)


def _seen(proposal: Proposal) -> str:
    kinds = ", ".join(f"{suffix} {count:,}" for suffix, count in proposal.suffixes.items())
    images = f"{sum(proposal.suffixes.values()):,} images" + (f" ({kinds})" if kinds else "")
    return f"{images}{'' if proposal.complete else ', and there are more files than were looked at'}"


def _metadata(proposal: Proposal) -> str:
    if proposal.metadata is None:
        return (
            "# metadata: parent                # the folder's name as label; or a regex with named groups over the key"
        )
    labels = ", ".join(one if one.isprintable() else repr(one) for one in proposal.labels)
    return f"metadata: {_scalar(proposal.metadata)}\n  # ^ finds the labels {labels}"


def _scalar(text: str) -> str:
    """Return a text as a YAML value on one line."""
    style = None if text.isprintable() else '"'  # in which a line break is written as an escape
    dumped: Any = yaml.safe_dump(text, allow_unicode=True, width=10**9, default_style=style)
    return str(dumped).removesuffix("...\n").removesuffix("\n")


FOLDER_OPTIONS = """\
  # exclude: [thumbnails/, '*-draft.*']   # patterns as in a .gitignore
  # version: content                # a hash of the bytes, where sizes and times can't be trusted"""
S3_OPTIONS = """\
  # exclude: [thumbnails/, '*-draft.*']   # patterns as in a .gitignore
  # endpoint_url: http://127.0.0.1:9000   # where it is not Amazon's S3; credentials come from the environment"""

TEMPLATE = """\
# Made by `pinery init`, which saw {seen}.
# It runs as it stands:   pinery plan {file}   says what a run would do,   pinery run {file}   does it.
# A line that begins with `# ` and a key is an option: take off the `# `, and take out the line that it stands in for.
corpus: {corpus}
source:
  kind: {kind}
  {key}: {source}
  {metadata}
{options}

# The built-in model needs no download. Another model takes another `corpus`, or a fresh state.
model: descriptor
# Any model of torchvision; these weights are 98 MB:
# model: torchvision:resnet50#features
# CLIP, which finds images by words too; 0.6 GB:
# model: clip:openai/clip-vit-base-patch32

# The embedded index needs no key and lies in the state.
index: {{kind: lance}}
# Pinecone; needs the environment variable PINECONE_API_KEY:
# index: {{kind: pinecone, cloud: aws, region: us-east-1, metric: cosine}}

# What was embedded, and what the index holds: here, beside this file.
state: ./.pinery
# On S3, which several machines can reach; takes an index of kind pinecone:
# state: s3://{bucket}/pinery
# state_s3: {{endpoint_url: 'http://127.0.0.1:9000'}}   # only where it is not Amazon's S3
"""
