"""The doctor's look at an index: whether it can be reached, and whether it is the one that a run would write to."""

from __future__ import annotations

from pathlib import Path

from pinery.checkpoint.trial import try_folder
from pinery.corpus.corpus import Corpus
from pinery.corpus.target import Target
from pinery.errors import AccessDeniedError, IndexMismatchError
from pinery.indexes.open_index import list_indexes
from pinery.records import ModelCard
from pinery.reports import Check
from pinery.steps.find_index import refuse_foreign, refuse_owned
from pinery.steps.marks import why_behind
from pinery.target_settings import PineconeSettings
from pinery.variables import PINECONE_KEY, missing_variables


def check_index(corpus: Corpus, card: ModelCard | None) -> Check:
    """Return whether the config's index is fit to be written; without a `card`, whether indexes can be reached.

    Raises AccessDeniedError where the key is missing or refused, IndexMismatchError where the index is another's, and
    whatever an index raises.
    """
    config = corpus.config
    if PINECONE_KEY in missing_variables(config):
        raise AccessDeniedError(
            f"{PINECONE_KEY} is not set, neither here nor as the Prefect Secret block pinecone-api-key; export it, or"
            " use `index: {kind: lance}`, which needs no key"
        )
    known = list_indexes(config)
    if isinstance(config.index, PineconeSettings):
        reached = "Pinecone takes the key"
    else:
        try_folder(Path(config.state) / "lance", "state")
        reached = f"{Path(config.state) / 'lance'} can be written"
    if card is None:
        return Check("index", "ok", f"{reached}; the first run makes the index" + _named(config.index.name, known))
    return Check("index", "ok", f"{reached}; {_found(corpus, corpus.target)}")


def _named(name: str | None, known: list[str]) -> str:
    """Return the rest of the line where the index of that name is there before the first run, which judges it."""
    return f", or fits {name}, which is there" if name in known else ""


def _found(corpus: Corpus, target: Target) -> str:
    """Return what the index is. Raises IndexMismatchError where a run would be refused to write to it."""
    where = f"{target.name} / {target.entry.namespace}"
    identity = target.index.describe()
    refuse_foreign(corpus, target, identity)
    refuse_owned(target)
    if identity is None:
        return f"{target.name} is not there yet, the next run makes it"
    if behind := why_behind(target, target.index.read_mark()):
        raise IndexMismatchError(f"{behind}; `pinery verify CONFIG --full --repair` says that this state is right")
    return f"{where} holds {target.index.count():,} rows"
