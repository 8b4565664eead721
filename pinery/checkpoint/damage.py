"""What is said of a damaged file of the state: its name, what is wrong, and what may be done about it."""

from __future__ import annotations

import shlex

from pinery.errors import DamagedError

REPAIR = "and run `pinery verify CONFIG --full --repair`: it compares the index with the checkpoint, id by id"
ADVICE = {
    "parts": "and run `pinery run CONFIG`: its images are embedded again. Nothing is repaired from a damaged part",
    "ledger": REPAIR,
    "rejected": "and run `pinery run CONFIG`: it sends the rows again that were in it",
    "listings": "and run `pinery run CONFIG`: it makes a new listing",
    "imports": REPAIR,
}
"""What to do once a file was deleted, by the folder that it lies in."""


def damaged(where: str, why: str) -> DamagedError:
    """The error that says that the file at the path or URL `where` is damaged."""
    above = where.split("/")[-3:-1]
    kind = next((folder for folder in reversed(above) if folder in ADVICE), None)
    if kind is None:
        return DamagedError(f"{where} is damaged: {why}. Run the same command again to go on")
    command = "aws s3 rm" if where.startswith("s3://") else "rm"
    deletion = f"delete it ({command} {shlex.quote(where)})"
    return DamagedError(f"{where} is damaged: {why}. To go on, {deletion} {ADVICE[kind]}")
