"""The indexes of a corpus that can be searched, as the alias has them a second ago at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.corpus.corpus import Corpus
from pinery.models.registry import FAMILIES, parse

if TYPE_CHECKING:
    from pinery.web.site import ShownCorpus

READS_TEXTS = {family.name for family in FAMILIES if family.text}


def read(corpus: Corpus) -> list[dict[str, Any]]:
    """Return the targets of a corpus, the live one first; none before the first run. It reads the alias.

    Each has its `index`, `role` (live, kept or candidate), `model`, `model_key`, `dimension`, `until` and `gate`, and
    `text`: whether words can be searched for, else `why_no_text`. A target of another kind than the config's can't be
    searched, and is left out.
    """
    alias = corpus.alias()[0]
    found = [_target(entry, role) for role, entry in _in_use(alias) if entry.kind == corpus.config.index.kind]
    if alias.live is None and corpus.current_listing() is not None and (card := corpus.known_card()) is not None:
        found.insert(0, _target(corpus.named_with(card), "live"))  # as far as limited runs have filled it
    return found


def model_of(shown: ShownCorpus, index: str, model_key: str) -> str:
    """Return the name of the model whose vectors an index holds."""
    names = {(one["index"], one["model_key"]): str(one["model"]) for one in shown.targets()}
    return names.get((index, model_key), model_key)


def _in_use(alias: Alias) -> list[tuple[str, IndexEntry]]:
    live = [("live", alias.live)] if alias.live else []
    return [*live, *(("kept", one) for one in alias.kept), *(("candidate", one) for one in alias.candidates)]


def _target(entry: IndexEntry, role: str) -> dict[str, Any]:
    text = parse(entry.card.name).family in READS_TEXTS
    return {
        "index": entry.name,
        "role": role,
        "model": entry.card.name,
        "model_key": entry.card.key,
        "dimension": entry.card.dimension,
        "until": entry.until or None,
        "gate": entry.gate or None,
        "text": text,
        "why_no_text": None
        if text
        else f"The model {entry.card.name} embeds images only. Words need a model that embeds texts too, such as"
        " clip:openai/clip-vit-base-patch32: `pinery backfill` fills an index with it.",
    }
