"""The sources of corpora: each kind lists its items and fetches an item's bytes."""

import importlib
from typing import cast

from pinery.source_kinds import SOURCE_KINDS, SourceBase
from pinery.sources.protocol import Past, Source

__all__ = ["Past", "Source", "open_source"]


def open_source(settings: SourceBase, past: Past | None = None) -> Source:
    """Return the source that `settings` describe; nothing is listed, downloaded or reached yet.

    `past` is what the state remembers of the corpus; a source that only fetches needs none.
    Raises ConfigError where the settings can't work.
    """
    # Imported by name, so that a corpus in a folder pays for neither boto3 nor torchvision.
    [door] = [row.door for row in SOURCE_KINDS if isinstance(settings, row.settings)]
    module, _, name = door.partition(":")
    return cast(Source, getattr(importlib.import_module(module), name)(settings, past))
