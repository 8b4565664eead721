"""The error for a damaged file of the state: it names the file, what is wrong, and what may be done about it."""

import contextlib
import shlex
from collections.abc import Iterator

from pinery.errors import DamagedError

REPAIR = "and run `pinery verify CONFIG --full --repair`: it compares the index with the checkpoint, id by id"
ADVICE = {
    "parts": "and run `pinery run CONFIG`: its images are embedded again. Nothing is repaired from a damaged part",
    "ledger": REPAIR,
    "rejected": "and run `pinery run CONFIG`: it sends the rows again that were in it",
    "listings": "and run `pinery run CONFIG`: it makes a new listing",
    "imports": REPAIR,
    "identity": REPAIR,
    "alias": "and run `pinery run CONFIG`: its index goes live again; what was kept or retired has to be found by hand",
    "models": "and run the same command again: it loads the model and writes the file anew",
    "runs": "and run the same command again: it is history that nothing else depends on",
    "scores": "and run the same command again: it measures them anew",
    "owners": "and run the same command again, for the corpus that the namespace belongs to",
}
"""The step that repairs the state once a damaged file was deleted, by the kind of file or its folder."""


def damaged(where: str, why: str, kind: str | None = None) -> DamagedError:
    """Return the error for a damaged file of that `kind` at the path or URL `where`; `why` says what is wrong."""
    if kind is None:
        above = where.split("/")[-3:-1]
        kind = next((folder for folder in reversed(above) if folder in ADVICE), None)
    if kind is None:
        return DamagedError(f"{where} is damaged: {why}. Run the same command again to go on")
    command = "aws s3 rm" if where.startswith("s3://") else "rm"
    deletion = f"delete it ({command} {shlex.quote(where)})"
    return DamagedError(f"{where} is damaged: {why}. To go on, {deletion} {ADVICE[kind]}")


@contextlib.contextmanager
def parsing(where: str, kind: str) -> Iterator[None]:
    """Raise DamagedError where the JSON of the file `where`, which is parsed inside, isn't what Pinery wrote."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(where, f"it can't be read as what Pinery wrote to it ({error!r})", kind) from error
