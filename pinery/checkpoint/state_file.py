"""The state root's own file: its id and its format."""

import json
import uuid

from pinery.checkpoint.store import Store
from pinery.errors import ConfigError, ConflictError, DamagedError, TransientError

NAME = "state.json"
FORMAT = 1


def state_id(store: Store, create: bool = True) -> str | None:
    """Return the state root's id, made on first use; None where it doesn't exist and `create` is off.

    Raises ConfigError where the state was written by a later, incompatible version, DamagedError where the file can't
    be read.
    """
    found = store.read(NAME)
    if found is None:
        if not create:
            return None
        fresh = json.dumps({"id": uuid.uuid4().hex, "format": FORMAT}).encode()
        try:
            store.replace(NAME, fresh, None)
        except (ConflictError, TransientError):  # another run was first, or the answer to this write was lost
            if store.read(NAME) is None:
                raise
            return state_id(store)
        found = (fresh, "")
    try:
        data = json.loads(found[0])
        number, own = data["format"], str(data["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            f"{store.root}/{NAME} can't be read ({error!r}); it holds the id that this state's indexes are known by."
            ' Put it back from a copy; an index names the id in its tag `pinery-state`: {"id": ID, "format": 1}'
        ) from error
    if number != FORMAT:
        raise ConfigError(f"{store.root} has state format {number}; this version reads {FORMAT}: update Pinery")
    return own
