"""The one door to an index: the kind that a config names, opened by name and namespace."""

from pathlib import Path

from pinery.config import Config, PineconeSettings
from pinery.errors import ConfigError
from pinery.indexes.protocol import Index


def open_index(config: Config, name: str, namespace: str, dimension: int) -> Index:
    """Return the index `name` of the config's kind, for vectors of `dimension` values; nothing is reached yet.

    Raises ConfigError where that kind can't work with the config's state.
    """
    settings = config.index
    # Imported here, so that a user of one kind doesn't wait for the libraries of the other.
    if isinstance(settings, PineconeSettings):
        from pinery.indexes.pinecone import PineconeIndex

        upsert = config.upsert
        return PineconeIndex(
            settings,
            name,
            namespace,
            dimension,
            max_concurrency=upsert.max_concurrency,
            request_timeout=upsert.request_timeout,
        )
    from pinery.indexes.lance import LanceIndex

    if config.is_s3_state:
        raise ConfigError("index.kind lance needs a local `state`; with state on S3, set index.kind to pinecone")
    return LanceIndex(settings, Path(config.state) / "lance" / name, name, namespace, dimension)
