"""Pinecone's control plane for one index: describe it, create it, wait until it is ready, read and write its tags."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from pinery.errors import ConfigError, IndexMismatchError, TerminalError, TransientError
from pinery.indexes.pinecone_session import PineconeSession
from pinery.records import Identity
from pinery.target_settings import PineconeSettings

if TYPE_CHECKING:
    import pinecone
    from pinecone.models.indexes.index import IndexModel

STATE_TAG, INCARNATION_TAG, MODEL_TAG = "pinery-state", "pinery-incarnation", "pinery-model"
MARK_TAG = "pinery-mark-"
MAX_TAGS = 20
FAILED_STATES = ("InitializationFailed", "Terminating", "Disabled")


def describe(session: PineconeSession, name: str) -> IndexModel | None:
    """Return the index as Pinecone describes it, or None where there is none."""
    import pinecone

    def action(client: pinecone.Pinecone) -> IndexModel | None:
        try:
            return client.indexes.describe(name)
        except pinecone.NotFoundError:
            return None

    return session.control(action)


def names(session: PineconeSession) -> list[str]:
    """Return the names of all indexes that the key may see."""
    return session.control(lambda client: sorted(one.name for one in client.indexes.list()))


def check_shape(found: IndexModel, dimension: int, metric: str) -> None:
    """Raise IndexMismatchError unless `found` is a classic dense index of that dimension and metric."""
    fields = found.schema.fields
    if "_values" not in fields:
        raise IndexMismatchError(
            f"Pinecone index {found.name} is not a classic dense index (its fields are {', '.join(sorted(fields))});"
            " set index.name to another name"
        )
    if (found.dimension, found.metric) != (dimension, metric):
        raise IndexMismatchError(
            f"Pinecone index {found.name} has dimension {found.dimension} and metric {found.metric};"
            f" the config needs {dimension} and {metric}: set index.name to another name"
        )


def create(session: PineconeSession, settings: PineconeSettings, name: str, dimension: int, identity: Identity) -> None:
    """Create the index with `identity` as its tags, unless another run has just created it.

    Returns before the index is ready. Raises ConfigError where Pinecone doesn't have the cloud or the region.
    """
    import pinecone

    place = pinecone.ServerlessSpec(cloud=settings.cloud, region=settings.region)

    def action(client: pinecone.Pinecone) -> None:
        try:
            client.indexes.create(
                name=name,
                dimension=dimension,
                metric=settings.metric,
                spec=place,
                deletion_protection="enabled" if settings.deletion_protection else "disabled",
                tags=tags_of(identity),
                timeout=-1,
            )
        except pinecone.ConflictError:
            return
        except pinecone.NotFoundError as error:
            raise ConfigError(
                f"Pinecone has no region {settings.region} on {settings.cloud} for index {name}:"
                f" {session.clean(error.message)}"
            ) from None

    session.control(action)


def is_protected(found: IndexModel) -> bool:
    """Return whether Pinecone refuses to delete the index."""
    return found.deletion_protection == "enabled"


def delete(session: PineconeSession, name: str) -> None:
    """Delete the index with all that is in it; one that is gone is no error."""
    import pinecone

    def action(client: pinecone.Pinecone) -> None:
        try:
            client.indexes.delete(name, timeout=-1)
        except pinecone.NotFoundError:
            return

    session.control(action)


def wait_until_ready(session: PineconeSession, name: str, timeout: float) -> None:
    """Wait until the index is ready, for at most `timeout` seconds.

    Raises TransientError after that time, and TerminalError where the index will never become ready.
    """
    deadline, pause = time.monotonic() + timeout, 0.1
    while True:
        found = describe(session, name)
        if found is not None and found.status.ready:
            return
        state = "absent" if found is None else found.status.state
        if state in FAILED_STATES:
            raise TerminalError(f"Pinecone index {name} is in state {state} and will not become ready")
        left = deadline - time.monotonic()
        if left <= 0:
            raise TransientError(f"Pinecone index {name} is still {state} after {timeout:g} s (index.ready_timeout)")
        time.sleep(min(pause, left))
        pause = min(pause * 2, 5.0)


def tag(session: PineconeSession, name: str, identity: Identity) -> None:
    """Write `identity` to the tags of an existing index."""
    session.control(lambda client: client.indexes.configure(name, tags=tags_of(identity)))


def identity_of(found: IndexModel) -> Identity | None:
    """Return the identity in an index's tags, or None where it isn't complete."""
    tags = found.tags or {}
    if not all(tags.get(key) for key in (STATE_TAG, INCARNATION_TAG, MODEL_TAG)):
        return None
    return Identity(tags[STATE_TAG], tags[INCARNATION_TAG], tags[MODEL_TAG])


def tags_of(identity: Identity) -> dict[str, str]:
    """Return the tags that carry an identity."""
    return {STATE_TAG: identity.state, INCARNATION_TAG: identity.incarnation, MODEL_TAG: identity.model_key}


def read_mark(session: PineconeSession, name: str, namespace: str) -> str | None:
    """Return the mark of the newest run that wrote to the namespace, or None where there is no mark or no index."""
    found = describe(session, name)
    return (found.tags or {}).get(_mark_tag(namespace)) if found is not None else None


def leave_mark(session: PineconeSession, name: str, namespace: str, mark: str) -> bool:
    """Write the namespace's mark to a tag, or remove the tag if `mark` is empty; False where all tags are taken."""
    tag, found = _mark_tag(namespace), describe(session, name)
    tags = {} if found is None else found.tags or {}
    if tag not in tags and (not mark or len(tags) >= MAX_TAGS):
        return not mark
    session.control(lambda client: client.indexes.configure(name, tags={tag: mark}))
    return True


def _mark_tag(namespace: str) -> str:
    return MARK_TAG + hashlib.sha256(namespace.encode()).hexdigest()[:16]
