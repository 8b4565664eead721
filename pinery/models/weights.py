"""Weights files: fetched from a path, S3 or HTTPS, checked by their SHA-256, and read as a state dict."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import safetensors.torch
import torch

from pinery.addresses import without_secrets
from pinery.config import cache_root
from pinery.download import http_chunks
from pinery.errors import ConfigError, TerminalError
from pinery.variables import resolved


def cache_folder() -> Path:
    """Return the folder that fetched weights are kept in: `weights` in Pinery's cache folder."""
    return cache_root() / "weights"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_weights(address: str, sha256: str) -> Path:
    """Return a local file with the bytes at `address`: a path, s3://, https:// or $VARIABLE.

    Its SHA-256 is `sha256`. A file that was fetched once is taken from the cache, whatever the address.

    Raises ConfigError where nothing is there, its SHA-256 is another, or the environment lacks the variable;
    AccessDeniedError where credentials are missing or refused; TransientError where the address doesn't answer
    properly; and TerminalError where the cache folder can't take the file.
    """
    address = resolved(address)
    shown = without_secrets(address)
    if "://" not in address:
        path = Path(address).expanduser()
        if not path.is_file():
            raise ConfigError(f"the weights file {shown} does not exist")
        _check(shown, file_sha256(path), sha256)
        return path
    cached = cache_folder() / sha256
    if cached.is_file() and file_sha256(cached) == sha256:
        return cached
    scheme = urlsplit(address).scheme
    if scheme not in ("s3", "https", "http"):
        raise ConfigError(f"weights can't be fetched from {shown}; use a path, s3:// or https://")
    chunks = _s3_chunks(address, shown) if scheme == "s3" else http_chunks(address)
    _save(chunks, cached, shown, sha256)
    return cached


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a weights file, by name and on the CPU. Runs no code from the file.

    The file is a state dict, `{"state_dict": ...}` or safetensors. Raises ConfigError where it is none of these.
    """
    try:
        if _is_safetensors(path):
            return safetensors.torch.load_file(path)
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types here, some of them its own
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} can't be read as weights ({type(error).__name__}: {reason})") from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(t, torch.Tensor) for t in loaded.values()):
        raise ConfigError(f"{path} holds no state dict; save `model.state_dict()` or {{'state_dict': ...}}")
    return loaded


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= min(path.stat().st_size - 8, 100_000_000) or file.read(1) != b"{":
            return False
        file.seek(8)
        try:
            json.loads(file.read(size))
        except ValueError:
            return False
    return True


def _check(shown: str, found: str, expected: str) -> None:
    if found != expected:
        raise ConfigError(f"the weights at {shown} have SHA-256 {found}, but the settings expect {expected}")


def _save(chunks: Iterator[bytes], target: Path, shown: str, sha256: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".fetch-")
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        _check(shown, digest.hexdigest(), sha256)
        Path(name).replace(target)
    except OSError as error:
        raise TerminalError(f"{shown} can't be kept in {target.parent}: {error}") from error
    finally:
        Path(name).unlink(missing_ok=True)


def _s3_chunks(address: str, shown: str) -> Iterator[bytes]:
    from pinery.models.weights_s3 import s3_chunks  # brings boto3, which a machine that only embeds may lack

    yield from s3_chunks(address, shown)
