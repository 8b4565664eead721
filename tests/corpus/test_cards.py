"""The card of a model reference: resolved once for a state, and from then on the one that is stored."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.store import LocalStore
from pinery.config_file import load_config
from pinery.corpus.cards import Cards
from pinery.errors import DamagedError, TerminalError
from pinery.sources import open_source
from tests.corpora import config


def cards(settings: dict[str, Any]) -> Cards:
    loaded = load_config(settings)
    return Cards(LocalStore(Path(settings["state"])), loaded, lambda: open_source(loaded.source))


def test_a_reference_is_resolved_once_and_stored(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    first = cards(settings)
    assert first.stored() is None
    assert (first.card.name, first.card.dimension) == ("descriptor", 512)
    assert cards(settings).stored() == first.card
    [file] = (tmp_path / "state" / "models").glob("*.json")
    data = json.loads(file.read_text()) | {"layer": "as it was found at first"}
    file.write_text(json.dumps(data))
    assert cards(settings).card.layer == "as it was found at first", "vectors of two cards are never mixed"


def test_references_that_mean_different_vectors_have_cards_of_their_own(images: Path, tmp_path: Path) -> None:
    exact, scaled = ({"name": "descriptor", "decode": decode} for decode in ("exact", "scaled"))
    settings = config(images, tmp_path / "state", model=exact)
    keys = {cards(settings).card.key, cards(settings | {"model": scaled}).card.key}
    assert len(keys) == 2
    assert len(list((tmp_path / "state" / "models").glob("*.json"))) == 2


def test_the_model_is_loaded_once_and_only_for_its_own_card(images: Path, tmp_path: Path) -> None:
    found = cards(config(images, tmp_path / "state"))
    model = found.loaded(found.card)
    assert model() is model()
    assert model().card == found.card
    other = found.loaded(replace(found.card, name="another"))
    with pytest.raises(TerminalError, match="descriptor is no longer the model of this checkpoint: name was 'another'"):
        other()


@pytest.mark.parametrize("text", ["", "[]", '{"name": "descriptor"}'])
def test_a_damaged_card_is_named_and_never_taken_for_none(images: Path, tmp_path: Path, text: str) -> None:
    settings = config(images, tmp_path / "state")
    assert cards(settings).card
    [file] = (tmp_path / "state" / "models").glob("*.json")
    file.write_text(text)
    with pytest.raises(DamagedError, match=rf"{file.name} is damaged: .* run the same command again"):
        _ = cards(settings).card
