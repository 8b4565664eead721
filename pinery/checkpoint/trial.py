"""Tries whether a state can be written under conditions, as every run needs it, and leaves nothing behind."""

import contextlib
import tempfile
import uuid
from pathlib import Path

from pinery.checkpoint.store import LocalStore, Store
from pinery.config import Config, cache_root
from pinery.errors import AccessDeniedError, ConfigError, ConflictError, PineryError, TerminalError

RETRIES = 1
"""The SDK repeats a request of a trial so often; a run has more patience."""


def try_state(config: Config) -> None:
    """Write a small file to the state under conditions, and remove it again.

    Raises ConfigError where conditions are not honoured or the place can't be one, AccessDeniedError where the state
    may not be written, TransientError or TerminalError where it can't be now.
    """
    if config.is_s3_state:
        from pinery.checkpoint.s3_store import S3Store  # brings boto3, which a state in a folder needn't wait for

        _try(S3Store(config.state, config.state_s3, cache_root().absolute(), config.cache_bytes, RETRIES))
    else:
        try_folder(Path(config.state), "state")


def try_folder(folder: Path, setting: str) -> None:
    """Do the same in a local folder, or in the one that it would be made in. Raises the same errors."""
    above = existing(folder)
    if not above.is_dir():
        raise ConfigError(f"{above} is no folder, so {folder} can't be one; correct `{setting}`")
    try:
        with tempfile.TemporaryDirectory(prefix=".pinery-trial-", dir=above) as trial:
            _try(LocalStore(Path(trial)))
    except PermissionError as error:
        raise AccessDeniedError(
            f"{above} may not be written by this user ({error.strerror}); correct its owner or mode, or `{setting}`"
        ) from None
    except OSError as error:
        raise TerminalError(f"{above} can't be written: {error.strerror or error}; correct `{setting}`") from None


def existing(folder: Path) -> Path:
    """Return the path, or the nearest one above it that exists."""
    return next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))


def _try(store: Store) -> None:
    name = f"trial-{uuid.uuid4().hex}.json"
    try:
        tag = store.replace(name, b"1", None)
        store.replace(name, b"2", tag)
        _demand_a_conflict(store, name, tag)
    except PineryError:
        with contextlib.suppress(PineryError):  # the first error says what is wrong
            store.delete(name)
        raise
    store.delete(name)


def _demand_a_conflict(store: Store, name: str, tag: str) -> None:
    try:
        store.replace(name, b"3", tag)
    except ConflictError:
        return
    raise ConfigError(f"the state {store.root} doesn't honour conditional writes; set `state` to another place")
