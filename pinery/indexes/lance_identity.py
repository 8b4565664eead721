"""The file in the folder of an embedded index that says which index it is."""

import contextlib
import json
from dataclasses import asdict
from pathlib import Path

from pinery.durable import write_durably
from pinery.errors import DamagedError, IndexMismatchError
from pinery.records import Identity

IDENTITY_FILE = "pinery.json"


def read_identity(folder: Path) -> tuple[Identity, int, str] | None:
    """Return the identity, dimension and metric of the index in `folder`, or None where there is no index.

    Raises IndexMismatchError where another program filled the folder, and DamagedError where the file can't be read.
    """
    try:
        found = json.loads((folder / IDENTITY_FILE).read_text())
        identity = Identity(found["state"], found["incarnation"], found["model_key"])
        return identity, found["dimension"], found["metric"]
    except FileNotFoundError:
        if folder.exists() and any(folder.glob("*.lance")):
            raise IndexMismatchError(
                f"{folder} holds Lance tables but no {IDENTITY_FILE}, so another program made them;"
                " set index.name to another name"
            ) from None
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            f"{folder / IDENTITY_FILE} is damaged: it can't be read as what Pinery wrote to it ({error!r})."
            f" To go on, delete the folder {folder} and run `pinery run CONFIG`: it fills the index anew from the"
            " checkpoint, and embeds nothing"
        ) from error


def write_identity(folder: Path, identity: Identity, dimension: int, metric: str) -> None:
    """Make `folder` an index for vectors of `dimension` values. Raises OSError where the disk can't take the file."""
    folder.mkdir(parents=True, exist_ok=True)
    record = asdict(identity) | {"dimension": dimension, "metric": metric}
    write_durably(folder / IDENTITY_FILE, json.dumps(record).encode())


def remove_identity(folder: Path) -> None:
    """Make `folder` no index any more, and remove it if nothing else is in it."""
    (folder / IDENTITY_FILE).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files are in it, or it is gone
        folder.rmdir()
