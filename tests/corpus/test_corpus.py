"""A corpus opens what its config names on first need, and leaves nothing behind where it is only looked at."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.alias import write_alias
from pinery.errors import ConfigError, RefusedError
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


def test_a_live_index_of_another_model_is_refused(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    assert corpus.refuse_another_model() == corpus.alias()
    alias, tag = corpus.alias()
    assert alias.live is not None
    other = replace(alias.live, card=replace(alias.live.card, decoder="scaled"))
    write_alias(corpus.store, corpus.paths.alias, replace(alias, live=other), tag)
    with pytest.raises(RefusedError, match=rf"model key {other.card.key}\).* never mixed: .*`corpus` of its own"):
        corpus.refuse_another_model()


def test_the_current_listing_is_the_newest_and_no_file_of_another_program(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    first = corpus.current_listing()
    assert first is not None
    later = f"{corpus.paths.listings}/29990101T000000000000Z-abcdef.parquet"
    corpus.store.write(f"{corpus.paths.listings}/z (conflicted copy).parquet", b"")
    assert corpus.current_listing() == first
    corpus.store.write(later, b"")
    assert corpus.current_listing() == later
