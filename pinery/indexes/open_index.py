"""The one door to an index: the kind that a config names, opened by name and namespace."""

from pathlib import Path

from pinery.config import Config
from pinery.errors import ConfigError
from pinery.indexes.protocol import Index
from pinery.target_settings import PineconeSettings


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

    refuse_impossible(config)
    return LanceIndex(settings, Path(config.state) / "lance" / name, name, namespace, dimension)


def refuse_impossible(config: Config) -> None:
    """Raise ConfigError where the config's kind of index can't work with its state."""
    if config.is_s3_state and not isinstance(config.index, PineconeSettings):
        raise ConfigError("index.kind lance needs a local `state`; with state on S3, set index.kind to pinecone")


def list_indexes(config: Config) -> list[str]:
    """Return the names of all indexes that the config's key, or its state, has. Raises as the methods of Index do."""
    if isinstance(config.index, PineconeSettings):
        from pinery.indexes import pinecone_control as control
        from pinery.indexes.pinecone_session import PineconeSession

        return control.names(PineconeSession("of this key", None, 1))
    refuse_impossible(config)
    folder = Path(config.state) / "lance"
    return sorted(one.name for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []
