"""Where corpora live: each kind of source lists its items and fetches an item's bytes."""

from __future__ import annotations

from pathlib import Path

from pinery.config import FolderSource, S3Source, TorchvisionSource
from pinery.sources.protocol import Past, Source

__all__ = ["Past", "Source", "open_source"]


def open_source(
    settings: FolderSource | TorchvisionSource | S3Source, cache: Path | None = None, past: Past | None = None
) -> Source:
    """The source that `settings` describe; `cache` is a local folder for what a source remembers between listings.

    `past` is what the state remembers of the corpus; a source that only fetches needs neither.
    Nothing is listed, downloaded or reached yet. Raises ConfigError where the settings can't work.
    """
    # Imported here, so that a corpus in a folder pays for neither boto3 nor torchvision.
    match settings:
        case FolderSource():
            from pinery.sources.folder import Folder

            return Folder(settings, cache, past)
        case TorchvisionSource():
            from pinery.sources.torchvision import TorchvisionDatasets

            return TorchvisionDatasets(settings)
        case S3Source():
            from pinery.sources.s3 import S3Prefix

            return S3Prefix(settings, past)
