"""Datasets of torchvision with `(image, label)` rows, such as CIFAR10 and CIFAR100."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import numpy as np
import pyarrow as pa
from PIL import Image

from pinery.errors import BadImageError, ConfigError, MovedError, TransientError
from pinery.source_kinds import TorchvisionSource
from pinery.sources.dataset_archive import checksum, dataset_class, load
from pinery.sources.found import Found
from pinery.sources.lister import Lister
from pinery.sources.metadata import Describer
from pinery.sources.protocol import Fetched, NoPast, Past, check_size, read_each
from pinery.sources.seen import content_hash
from pinery.sources.walk import identity

_LABEL_ATTRIBUTES = ("targets", "labels", "_labels")
BROKEN = "broken:"
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, RuntimeError)
"""Pillow's plugins and torchvision's loaders raise these on damaged files."""
_ERRNOS_OF_A_FILE = (None, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR)
"""The numbers of an OSError that is about the file itself; others may pass. Pillow's own errors have none."""
_PNG_MODES = {"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"}


class TorchvisionDatasets:
    """The rows of one or more datasets, in the order of the settings; archives are downloaded at the first use.

    The key of an item is `<dataset>.<row>`; its metadata has `label`, the name of its class.
    """

    def __init__(self, settings: TorchvisionSource, past: Past | None = None) -> None:
        """Load nothing yet. Raises ConfigError where a dataset is unknown or named twice."""
        twice = sorted({name for name in settings.datasets if settings.datasets.count(name) > 1})
        if twice:
            raise ConfigError(f"`source.datasets` names {', '.join(twice)} more than once")
        self._settings = settings
        self._classes = {name: dataset_class(name) for name in settings.datasets}
        self._describe = Describer(settings)
        self._lister = Lister(self._describe, past or NoPast())
        self._loaded: dict[str, _Rows] = {}
        self._lock = threading.Lock()

    def check(self) -> None:
        """Load every dataset. Raises ConfigError, or TransientError where a download failed."""
        for name in self._classes:
            self._rows(name)

    @property
    def left_out(self) -> Mapping[str, int]:
        """See Source."""
        return self._lister.left_out

    def remarks(self) -> list[str]:
        """See Source."""
        return self._describe.remarks()

    def list_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield every row of every dataset; see Source. Raises as `check` does."""
        return self._lister.batches(self._found())

    def _found(self) -> Iterator[Found]:
        for name in self._classes:
            rows = self._rows(name)
            for row in range(len(rows)):
                uri = f"torchvision://{name}/{quote(self._settings.split, safe='')}/{row}"
                yield Found(f"{name}.{row}", uri, rows.version(row), -1, {"label": rows.label(row)}, group=name)

    def read(self, items: Sequence[tuple[str, str]], max_bytes: int) -> list[Fetched]:
        """See Source."""
        return read_each(self.fetch, items, max_bytes)

    def fetch(self, uri: str, version: str, max_bytes: int) -> bytes:
        """Return the row as a PNG without loss, the same bytes every time; see `Source.fetch`."""
        parts = urlsplit(uri)
        split, _, row = unquote(parts.path).lstrip("/").rpartition("/")
        if parts.netloc not in self._classes or split != self._settings.split:
            raise MovedError(f"{uri} is none of this corpus' datasets")
        try:
            data = self._rows(parts.netloc).png(int(row), version)
        except FileNotFoundError:
            raise MovedError(f"{uri} is no longer there") from None
        check_size(len(data), max_bytes)
        return data

    def _rows(self, name: str) -> _Rows:
        with self._lock:
            if name not in self._loaded:
                settings = self._settings
                dataset = load(self._classes[name], settings.root, settings.split, settings.download)
                root = _Root(settings.root)
                self._loaded[name] = _Rows(name, dataset, settings.split, checksum(dataset), root)
            return self._loaded[name]


class _Root:
    """The folder that datasets were loaded from."""

    def __init__(self, path: str) -> None:
        self._path, self._identity = path, identity(path)

    def check(self) -> None:
        """Raise TransientError where another folder or none is there: that says nothing of the files in it."""
        if identity(self._path) != self._identity:
            raise TransientError(f"folder {self._path} went away while its datasets were read; mount it and run again")


class _Rows:
    """One loaded dataset as rows."""

    def __init__(self, name: str, dataset: Any, split: str, archive: str | None, root: _Root) -> None:
        self._name = name
        self._root = root
        self._dataset = dataset
        self._split = split
        self._archive = archive
        self._labels = _labels(dataset)
        self._names: Sequence[Any] = getattr(dataset, "classes", ())

    def __len__(self) -> int:
        return len(self._dataset)

    def label(self, row: int) -> str | None:
        label = self._labels[row] if self._labels is not None else self._unlisted_label(row)
        if label is None:
            return None
        try:
            number = int(label)
        except (TypeError, ValueError):
            return str(label)
        if not 0 <= number < len(self._names):
            return str(number)
        name = self._names[number]
        return name if isinstance(name, str) else ", ".join(name)

    def _unlisted_label(self, row: int) -> Any:
        try:
            return self._dataset[row][1]
        except _UNREADABLE:
            return None  # told by the image, which can't be read either

    def version(self, row: int) -> str:
        if self._archive:
            return f"{self._archive}-{self._split}-{row}"
        try:
            return _pixel_version(self._image(row))
        except BadImageError:
            return self._broken_version(row)

    def _broken_version(self, row: int) -> str:
        """Return the version of a row that can't be read: its file's hash, or its number if its file isn't known."""
        try:
            with open(self._file(row), "rb") as file:
                return f"{BROKEN}{content_hash(file)}"
        except OSError:
            return f"{BROKEN}{self._split}-{row}"

    def _file(self, row: int) -> str:
        """Return the path of the row's image, or an empty text if the dataset doesn't say."""
        samples = getattr(self._dataset, "samples", None)
        try:
            return os.fspath(samples[row][0]) if isinstance(samples, list) else ""
        except (TypeError, IndexError):
            return ""

    def png(self, row: int, version: str) -> bytes:
        if not 0 <= row < len(self):
            raise MovedError(f"{self._name} has no row {row} in {self._split!r}")
        broken = version.startswith(BROKEN)
        by_pixels = not (self._archive or broken)
        same = by_pixels or version == self.version(row)
        if same:
            image = self._image(row) if broken else self._listed_image(row)
            same = not by_pixels or version == _pixel_version(image)
        if not same:
            raise MovedError(f"row {row} of {self._name} changed since it was listed")
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1)
        return file.getvalue()

    def _listed_image(self, row: int) -> Image.Image:
        """Return the image of a row whose file was there once. Raises FileNotFoundError where it is gone."""
        try:
            return self._image(row)
        except BadImageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise error.__cause__ from None
            raise

    def _image(self, row: int) -> Image.Image:
        try:
            image = self._dataset[row][0]
        except _UNREADABLE as error:
            if isinstance(error, OSError) and error.errno not in _ERRNOS_OF_A_FILE:
                raise TransientError(f"row {row} of {self._name} can't be read now: {error}") from error
            if isinstance(error, FileNotFoundError):
                self._root.check()
            where = self._file(row) or f"row {row} of {self._name}"
            raise BadImageError(f"{where} can't be read by torchvision: {error or type(error).__name__}") from error
        if not isinstance(image, Image.Image):
            image = Image.fromarray(np.asarray(image))
        return image if image.mode in _PNG_MODES else image.convert("RGB")


def _labels(dataset: Any) -> Sequence[Any] | None:
    """Return the labels of all rows, or None if the dataset has them only with its images."""
    for name in _LABEL_ATTRIBUTES:
        labels = getattr(dataset, name, None)
        if labels is not None and hasattr(labels, "__len__") and len(labels) == len(dataset):
            return labels.tolist() if hasattr(labels, "tolist") else list(labels)
    samples = getattr(dataset, "_samples", None)
    if isinstance(samples, list) and len(samples) == len(dataset):
        return [sample[1] for sample in samples]
    return None


def _pixel_version(image: Image.Image) -> str:
    digest = hashlib.sha256(f"{image.mode} {image.size}".encode())
    if image.mode == "P":
        digest.update(bytes(image.getpalette() or ()))
    digest.update(image.tobytes())
    return f"sha256:{digest.hexdigest()}"
