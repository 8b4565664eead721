"""Pinery keeps a vector index true to an image corpus: list, plan, embed, upsert, delete, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pinery.api import OpenCorpus

__version__ = "0.1.0"


def open(config: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> OpenCorpus:
    """Return the corpus of a config, to be searched and read; see `pinery.api.open_corpus`. Raises ConfigError."""
    from pinery.api import open_corpus  # here, so that `import pinery` brings nothing else

    return open_corpus(config, overrides)
