"""torchvision's datasets from their archives: downloaded, checked, unpacked and loaded."""

import contextlib
import difflib
import functools
import hashlib
import inspect
import os
import socket
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

import torchvision.datasets
from filelock import FileLock
from torchvision.datasets import utils as downloads

from pinery.errors import ConfigError, TransientError

DOWNLOAD_TIMEOUT = 60
"""The seconds without a byte after which a download has failed."""

_BROKEN = (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError, zipfile.BadZipFile)
_CHECKSUM_ATTRIBUTES = ("tgz_md5", "zip_md5", "md5", "_MD5", "_md5", "md5_checksum")
_URL_ATTRIBUTES = ("url", "_URL", "_url")


def dataset_class(name: str) -> Any:
    """Return the class `torchvision.datasets.<name>`.

    Raises ConfigError where there is no such class, or it takes no root folder.
    """
    known = torchvision.datasets.__all__
    found = getattr(torchvision.datasets, name, None) if name in known else None
    if found is None:
        near = difflib.get_close_matches(name, known, n=3) or ["CIFAR10", "CIFAR100"]
        raise ConfigError(f"torchvision has no dataset {name!r}; did you mean {' or '.join(near)}?")
    if "root" not in inspect.signature(found).parameters:
        raise ConfigError(f"torchvision's {name} is no dataset of files, so it can't be a corpus")
    return found


def load(kind: Any, root: str, split: str, download: bool) -> Any:
    """Return a dataset of class `kind` from the folder `root`; with `download` its archive is fetched first if need be.

    Raises ConfigError where there is no such split, no data and `download` is not set, or a package is missing;
    TransientError where the download failed or its checksum was wrong.
    """
    root = os.path.expanduser(root)
    arguments = {"root": root, **_split_argument(kind, split)}
    # Some datasets print, and stdout belongs to the command.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            return _load(kind, root, arguments, download)
        except ValueError as error:
            raise ConfigError(f"{kind.__name__} can't be loaded with split {split!r}: {error}") from None
        except ModuleNotFoundError as error:
            raise ConfigError(f"{kind.__name__} needs the package {error.name}: pip install {error.name}") from None


def _load(kind: Any, root: str, arguments: dict[str, Any], download: bool) -> Any:
    downloadable = _takes(kind, "download")
    try:
        return kind(**arguments, download=False) if downloadable else kind(**arguments)
    except (OSError, RuntimeError) as error:
        if not (downloadable and download):
            raise ConfigError(
                f"{kind.__name__} is not complete in {root} ({error}); "
                + (f"set `source.download: true`, or {_by_hand(kind, root)}" if downloadable else "put its files there")
            ) from None
    try:
        os.makedirs(root, exist_ok=True)
        with FileLock(os.path.join(root, f".{kind.__name__}.lock")), _quiet_download_with_timeout():
            return kind(**arguments, download=True)
    except PermissionError as error:
        raise ConfigError(f"{kind.__name__} can't be stored in {root} ({error}); correct `source.root`") from None
    except _BROKEN as error:
        raise TransientError(
            f"{kind.__name__} could not be downloaded ({error}); run again, or {_by_hand(kind, root)}"
        ) from error


def checksum(dataset: Any) -> str | None:
    """Return the checksum that torchvision has for the dataset's archive, or None if it has none."""
    for name in _CHECKSUM_ATTRIBUTES:
        value = getattr(dataset, name, None)
        if isinstance(value, str):
            return value
    resources = getattr(dataset, "resources", None)
    if not isinstance(resources, list) or not resources:
        return None
    return hashlib.md5("".join(md5 for _, md5 in resources).encode(), usedforsecurity=False).hexdigest()


def _split_argument(kind: Any, split: str) -> dict[str, Any]:
    if _takes(kind, "train", exactly=True):
        if split not in ("train", "test"):
            raise ConfigError(f"{kind.__name__} has no split {split!r}; it has: train, test")
        return {"train": split == "train"}
    return {"split": split} if _takes(kind, "split", exactly=True) else {}


def _takes(kind: Any, name: str, exactly: bool = False) -> bool:
    parameters = inspect.signature(kind).parameters
    return name in parameters or (
        not exactly and any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    )


def _by_hand(kind: Any, root: str) -> str:
    urls = [value for name in _URL_ATTRIBUTES if isinstance(value := getattr(kind, name, None), str)]
    resources = getattr(kind, "resources", ())
    named = [name for name, _ in resources] if isinstance(resources, list) else []
    mirrors = [mirror + name for mirror in getattr(kind, "mirrors", ())[:1] for name in named]
    folder = os.path.join(root, kind.__name__, "raw") if mirrors else root
    return (
        f"place the archive by hand: download {' '.join(urls or mirrors) or 'it'} "
        f"to {os.path.join(folder, getattr(kind, 'filename', ''))}"
    )


@contextlib.contextmanager
def _quiet_download_with_timeout() -> Iterator[None]:
    """Download without a progress bar where stderr is no terminal, and give up a download that stalls.

    torchvision offers settings for neither.
    """
    bar, timeout = downloads.tqdm, socket.getdefaulttimeout()
    downloads.tqdm = functools.partial(bar, disable=None)
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    finally:
        downloads.tqdm = bar
        socket.setdefaulttimeout(timeout)
