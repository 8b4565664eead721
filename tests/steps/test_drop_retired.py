"""A retired index goes only where all of it is this corpus' own; what is half removed is gone on with."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.alias import IndexEntry, write_alias
from pinery.corpus.live import SeenAlias, now
from pinery.errors import RefusedError
from pinery.reports import Change
from pinery.steps.drop_retired import drop_retired, find_retired
from pinery.steps.promote import make_live
from tests.corpora import config
from tests.filled import bring, holding, opened, rows_of
from tests.pinecone_server.server import PineconeServer
from tests.steps.pruned import NO_GUARDS, files_below, kinds, pruned, with_retired_model


def retire(settings: dict[str, Any], entry: IndexEntry) -> None:
    """Have the alias call `entry` retired."""
    corpus = opened(settings)
    alias, tag = corpus.alias()
    write_alias(corpus.store, corpus.paths.alias, replace(alias, retired=[replace(entry, until=now())]), tag)


@pytest.fixture(params=[pytest.param("lance", marks=pytest.mark.slow), "pinecone"])
def left(
    request: pytest.FixtureRequest, images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> tuple[dict[str, Any], IndexEntry]:
    """A corpus that moved to another namespace of its index, and the one that it left."""
    old = config(images, tmp_path / "state", index={"kind": request.param, "name": "shared"}, run=NO_GUARDS)
    bring(old | {"namespace": "old"})
    bring(old | {"namespace": "new"})
    [entry] = opened(old | {"namespace": "new"}).alias()[0].retired
    return old | {"namespace": "new"}, entry


def test_the_namespace_goes_and_the_index_stays_with_its_others(left: tuple[dict[str, Any], IndexEntry]) -> None:
    settings, entry = left
    before = rows_of(settings)
    told = pruned(settings)
    [one] = told.removed
    assert (one.what, one.name) == ("index", entry.place)
    assert one.bytes == 12 * 4 * entry.card.dimension
    assert rows_of(settings) == before
    index = opened(settings).open_target(entry).index
    assert (index.count(), index.read_mark() or None) == (0, None)
    state = Path(settings["state"])
    assert [path.name for path in files_below(state / f"test/indexes/{entry.kind}/shared/old")] == []
    assert not (state / f"owners/{entry.kind}/shared/old.json").exists()
    heir = settings | {"corpus": "heir", "namespace": "old"}
    assert bring(heir).upserted == 12, "another corpus may have the namespace"
    assert bring(settings).upserted == 0


def test_a_namespace_that_became_another_corpus_is_only_forgotten(left: tuple[dict[str, Any], IndexEntry]) -> None:
    settings, entry = left
    pruned(settings)
    heir = settings | {"corpus": "heir", "namespace": "old"}
    bring(heir)
    retire(settings, entry)
    [one] = pruned(settings).removed
    assert "corpus heir's, so it is only forgotten" in one.why
    assert opened(settings).alias()[0].retired == []
    assert len(rows_of(heir)) == 12


def test_an_index_of_another_state_is_left_alone_and_that_is_said(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old = with_retired_model(config(images, tmp_path / "state", run=NO_GUARDS))
    path = tmp_path / "state" / "lance" / old.name / "pinery.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "of another"}))
    [one] = find_retired(opened(new), opened(new).alias()[0])
    assert "belongs to state of another" in one.left
    assert pruned(new).removable == (), "and its model's checkpoint stays with it"
    assert opened(new).open_target(old).index.count  # it is there
    assert (tmp_path / "state" / "lance" / old.name).is_dir()
    assert [entry.name for entry in opened(new).alias()[0].retired] == [old.name]


def test_an_index_that_another_copy_of_the_state_wrote_to_is_left_alone(images: Path, tmp_path: Path) -> None:
    new, old = with_retired_model(config(images, tmp_path / "state", run=NO_GUARDS))
    opened(new).open_target(old).index.leave_mark("99-of-another-copy")
    [one] = find_retired(opened(new), opened(new).alias()[0])
    assert "another copy of this state" in one.left
    assert pruned(new).removable == ()
    assert opened(new).open_target(old).index.count() == 12


def test_an_index_of_another_kind_than_the_configs_is_found_where_it_is(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    lance = config(images, tmp_path / "state", run=NO_GUARDS)
    bring(lance)
    pinecone = lance | {"index": {"kind": "pinecone"}}
    bring(pinecone)
    [entry] = opened(pinecone).alias()[0].retired
    assert (entry.kind, entry.name) == ("lance", opened(pinecone).target.name), "of the same name"
    assert kinds(pruned(pinecone)) == {"index": 1}
    assert not (tmp_path / "state" / "lance" / entry.name).exists()
    assert len(rows_of(pinecone)) == 12


def test_an_index_that_is_gone_already_is_forgotten(images: Path, tmp_path: Path) -> None:
    import shutil

    new, old = with_retired_model(config(images, tmp_path / "state", run=NO_GUARDS))
    shutil.rmtree(tmp_path / "state" / "lance" / old.name)
    assert kinds(pruned(new)) == {"index": 1, "checkpoint": 1}
    assert opened(new).alias()[0].retired == []


def test_what_is_not_retired_is_never_dropped(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        assert drop_retired(held) == "it is not retired any more"
    assert len(rows_of(filled)) == 12


def test_a_protected_index_of_pinecone_is_emptied_and_stays(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    index = {"kind": "pinecone", "deletion_protection": True}
    new, old = with_retired_model(config(images, tmp_path / "state", index=index, run=NO_GUARDS))
    assert kinds(pruned(new)) == {"index": 1, "checkpoint": 1}
    index_left = opened(new).open_target(old).index
    assert index_left.describe() is not None
    assert index_left.count() == 0


def test_a_place_that_is_in_use_is_never_dropped_whatever_else_the_alias_says_of_it(filled: dict[str, Any]) -> None:
    live = opened(filled).alias()[0].live
    assert live is not None
    retire(filled, live)
    assert pruned(filled).removable == ()
    with holding(filled) as held:
        assert drop_retired(held) == "it is not retired any more"
    assert len(rows_of(filled)) == 12


def test_what_was_retired_for_a_prune_can_not_be_promoted_meanwhile(images: Path, tmp_path: Path) -> None:
    new, old = with_retired_model(config(images, tmp_path / "state", run=NO_GUARDS))
    corpus = opened(new)
    alias, tag = corpus.alias()
    kept = [replace(old, until="2020-01-01T00:00:00+00:00")]
    write_alias(corpus.store, corpus.paths.alias, replace(alias, kept=kept, retired=[]), tag)
    seen = SeenAlias(corpus)  # as `promote` saw it
    pruned(new)
    with pytest.raises(RefusedError, match="retired or removed meanwhile"):
        make_live(seen, corpus, old, Change(now(), "a run", old.name, "promoted"))
    live = opened(new).alias()[0].live
    assert live is not None
    assert live.name != old.name
