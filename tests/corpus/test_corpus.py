"""A corpus opens what its config names on first need, and leaves nothing behind where it is only looked at."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.alias import write_alias
from pinery.errors import ConfigError
from tests.corpora import config, listed_items
from tests.filled import opened


def test_looking_at_a_corpus_that_was_never_run_makes_no_state(images: Path, tmp_path: Path) -> None:
    corpus = opened(config(images, tmp_path / "state"))
    assert corpus.known_card() is None
    assert (corpus.current_listing(), corpus.alias()[0].live) == (None, None)
    assert len(listed_items(corpus.source)) == 12
    assert not (tmp_path / "state").exists()


def test_the_state_has_one_id_from_its_first_use_on(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    assert opened(settings).state_id == opened(settings).state_id
    assert opened(settings).state_id != opened(config(images, tmp_path / "other")).state_id


def test_the_target_is_the_configs_index_or_the_one_with_the_default_name(made: dict[str, Any]) -> None:
    corpus = opened(made)
    entry = corpus.target.entry
    assert (entry.kind, entry.namespace, entry.card) == ("lance", "test", corpus.known_card())
    assert entry == corpus.alias()[0].live
    named = opened(made | {"index": {"kind": "lance", "name": "mine"}, "namespace": "there"})
    assert (named.target.entry.name, named.target.entry.namespace) == ("mine", "there")
    assert named.target.index.describe() is None, "nothing is created"


def test_an_unknown_model_is_refused_before_anything_is_opened(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        opened(config(images, tmp_path / "state", model="nonsense:x"))
    assert not (tmp_path / "state").exists()


def test_the_live_target_is_served_whatever_model_the_config_names(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    alias, tag = corpus.alias()
    assert alias.live is not None
    assert alias.live.model == {"name": "descriptor", "weights": None, "sha256": None} | {
        "precision": "auto",
        "decode": "auto",
    }
    other = replace(alias.live, name="other", card=replace(alias.live.card, decoder="scaled"), model=None)
    kept = replace(alias.live, until="2999-01-01T00:00:00+00:00")
    write_alias(corpus.store, corpus.paths.alias, replace(alias, live=other, kept=[kept]), tag)
    chosen = opened(filled).serve()
    assert (chosen.main, chosen.kept) == (other, (kept,))
    assert opened(filled).target.entry == other


def test_a_target_of_another_model_is_loaded_by_the_settings_it_was_made_with(filled: dict[str, Any]) -> None:
    live = opened(filled).alias()[0].live
    assert live is not None
    corpus = opened(filled | {"model": {"name": "torchvision:resnet18", "device": "cpu", "batch": 4}})
    target = corpus.open_target(live)
    settings = target.config.model
    assert (settings.name, settings.device, settings.batch) == ("descriptor", "cpu", 4)
    assert target.model().card == live.card
    old = corpus.open_target(replace(live, model=None, name="of-an-alias-of-old"))
    assert old.model().card == live.card


def test_the_current_listing_is_the_newest_and_no_file_of_another_program(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    first = corpus.current_listing()
    assert first is not None
    later = f"{corpus.paths.listings}/29990101T000000000000Z-abcdef.parquet"
    corpus.store.write(f"{corpus.paths.listings}/z (conflicted copy).parquet", b"")
    assert corpus.current_listing() == first
    corpus.store.write(later, b"")
    assert corpus.current_listing() == later


def test_a_target_of_another_kind_than_the_configs_is_opened_as_what_it_is(filled: dict[str, Any]) -> None:
    entry = opened(filled).target.entry
    index = {"kind": "pinecone", "metric": "euclidean"}
    target = opened(filled | {"index": index}).open_target(entry)
    assert target.config.index.kind == "lance"
    assert target.index.count() == 12
    assert opened(filled | {"index": index}).target.config.index.metric == "euclidean"


def test_models_that_no_target_has_any_more_are_let_go_of(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    live = corpus.alias()[0].live
    assert live is not None
    model = corpus.open_anew(live).model()
    assert corpus.open_anew(live).model() is model, "a target that is opened anew has the model that was loaded"
    assert corpus.open_anew(live) is not corpus.open_anew(live)
    corpus.forget_models_but([live])
    assert corpus.open_anew(live).model() is model
    corpus.forget_models_but([])
    assert corpus.open_anew(live).model() is not model
