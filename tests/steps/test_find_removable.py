"""What can go is found by what the alias says is in use; before anything is live, everything is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.alias import write_alias
from pinery.corpus.open_run import open_run
from pinery.corpus.served import Served
from pinery.steps.find_removable import find_removable
from tests.corpora import config
from tests.filled import bring, opened
from tests.steps.pruned import NO_GUARDS, forget_live, with_retired_model


@pytest.fixture
def two(images: Path, tmp_path: Path) -> tuple[dict[str, Any], str]:
    """A corpus with a live model and the checkpoint of another that no target uses; and that one's key."""
    new, old = with_retired_model(config(images, tmp_path / "state", run=NO_GUARDS))
    corpus = opened(new)
    alias, tag = corpus.alias()
    write_alias(corpus.store, corpus.paths.alias, replace(alias, retired=[]), tag)
    return new, old.card.key


def unused(settings: dict[str, Any]) -> list[str]:
    return [one.name for one in find_removable(opened(settings)).items if one.what == "checkpoint"]


def test_a_checkpoint_without_a_target_is_found(two: tuple[dict[str, Any], str]) -> None:
    settings, key = two
    assert unused(settings) == [f"test/{key}"]
    [one] = find_removable(opened(settings)).unused
    assert one.leftover.files[-1] == f"test/{key}/card.json", "by its card one that is half removed is known"
    sizes = opened(settings).store.sizes(f"test/{key}/parts")
    assert one.leftover.item.bytes == sum(sizes.values()) > 0


def test_a_candidates_stays(two: tuple[dict[str, Any], str]) -> None:
    settings, _ = two
    [one] = find_removable(opened(settings)).unused
    corpus = opened(settings)
    alias, tag = corpus.alias()
    write_alias(corpus.store, corpus.paths.alias, alias.with_candidate(one.entry), tag)
    assert find_removable(opened(settings)).items == ()


def test_one_that_a_run_is_filling_stays(two: tuple[dict[str, Any], str]) -> None:
    settings, key = two
    [one] = find_removable(opened(settings)).unused
    with open_run(opened(settings), lambda _: Served(one.entry)):
        assert unused(settings) == []
        assert [found.entry.card.key for found in find_removable(opened(settings), {key}).unused] == [key]


def test_while_nothing_is_live_no_checkpoint_is_removable(two: tuple[dict[str, Any], str]) -> None:
    settings, _ = two
    forget_live(settings)
    assert unused(settings) == []


def test_folders_of_others_are_no_checkpoints(filled: dict[str, Any]) -> None:
    for name in ("0123456789", "holidays"):
        folder = Path(filled["state"], "test", name, "parts")
        folder.mkdir(parents=True)
        (folder / "part-00000000.parquet").write_bytes(b"?")
    assert find_removable(opened(filled)).items == ()
    assert bring(filled).unchanged == 12
