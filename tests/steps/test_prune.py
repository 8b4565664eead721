"""A prune removes what nothing needs, under leases; no later run loses a row or embeds anything again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinery.corpus.open_run import open_run
from pinery.corpus.progress import Silent
from pinery.corpus.served import Served
from pinery.errors import LeaseHeldError
from pinery.search.scales import Scales
from pinery.steps.prune import _always, prune
from pinery.steps.status import status
from tests.corpora import config
from tests.filled import bring, opened, rows_of
from tests.pinecone_server.server import PineconeServer
from tests.s3_server import S3Server
from tests.steps.pruned import (
    NO_GUARDS,
    bring_often,
    change_all,
    everything,
    kinds,
    pruned,
    with_retired_model,
)


@pytest.fixture(
    params=[
        pytest.param("lance", marks=pytest.mark.slow),
        "pinecone",
        pytest.param("pinecone-s3", marks=pytest.mark.slow),
    ]
)
def settings(
    request: pytest.FixtureRequest,
    images: Path,
    tmp_path: Path,
    pinecone_environment: PineconeServer,
    s3_server: S3Server,
) -> dict[str, Any]:
    """A corpus of twelve images that is in no index yet."""
    kind, _, where = request.param.partition("-")
    made = config(images, tmp_path / "state", index={"kind": kind}, run=NO_GUARDS)
    if where:
        state_s3 = {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
        made |= {"state": f"s3://{s3_server.new_bucket()}/pinery", "state_s3": state_s3}
    return made


def test_nothing_of_a_corpus_in_use_is_removable(filled: dict[str, Any]) -> None:
    assert pruned(filled).to_dict() == {"corpus": "test", "removable": [], "removed": []}


def test_of_a_corpus_that_was_never_run_nothing_is_removable_and_nothing_is_made(images: Path, tmp_path: Path) -> None:
    assert pruned(config(images, tmp_path / "state")).removable == ()
    assert not (tmp_path / "state").exists()


def test_dead_parts_go_and_nothing_is_embedded_again(settings: dict[str, Any]) -> None:
    bring(settings)
    change_all(settings, 1)
    bring(settings)
    bring_often(settings, 2)
    before = rows_of(settings)
    told = pruned(settings)
    assert kinds(told) == {"part": 3}, "the first version of each image is in none of the last three listings"
    assert told.removed == told.removable
    assert all(one.bytes > 0 for one in told.removed)
    assert opened(settings).target.checkpoint.names() == ["part-00000003", "part-00000004", "part-00000005"]
    report = bring(settings)
    assert (report.embedded, report.upserted, report.unchanged, report.verified) == (0, 0, 12, True)
    assert rows_of(settings) == before
    assert pruned(settings).removable == ()


def test_a_retired_index_goes_with_its_model_and_the_live_one_stays(settings: dict[str, Any]) -> None:
    new, old = with_retired_model(settings)
    [named] = status(opened(new)).retired
    assert named["remove"] == "pinery prune CONFIG --yes"
    before = rows_of(new)
    scores = opened(new).paths.scores(old.card.key, "cosine")
    Scales(wait=True).of(opened(new).open_target(old), opened(new).current_listing())
    assert opened(new).store.read(scores) is not None
    told = pruned(new)
    assert {(one.what, one.name) for one in told.removable} == {
        ("index", old.place),
        ("checkpoint", f"test/{old.card.key}"),
    }
    assert told.removed == told.removable
    corpus = opened(new)
    assert corpus.open_target(old).index.describe() is None, "nobody else used the index"
    assert corpus.open_target(old).checkpoint.names() == []
    assert corpus.open_target(old).recorded() is None
    assert corpus.store.read(scores) is None
    assert corpus.alias()[0].retired == []
    assert status(corpus).retired == ()
    report = bring(new)
    assert (report.embedded, report.upserted, report.verified) == (0, 0, True)
    assert rows_of(new) == before
    assert pruned(new).removable == ()


def test_without_yes_nothing_is_changed(images: Path, tmp_path: Path) -> None:
    made = config(images, tmp_path / "state", run=NO_GUARDS)
    bring(made)
    change_all(made, 1)
    new, _ = with_retired_model(made)
    bring_often(new, 2)
    before = everything(new)
    told = pruned(new, really=False)
    assert told.removed == ()
    assert kinds(told) == {"index": 1, "checkpoint": 1}
    assert everything(new) == before


def test_a_run_under_way_refuses_a_prune_that_would_change_its_checkpoint(images: Path, tmp_path: Path) -> None:
    new, old = with_retired_model(config(images, tmp_path / "state", run=NO_GUARDS))
    change_all(new, 1)
    bring(new)
    bring_often(new, 2)
    corpus = opened(new)
    for held in (corpus.target.entry, old):
        with open_run(opened(new), _always(Served(held))), pytest.raises(LeaseHeldError):
            pruned(new)
    assert corpus.open_target(old).index.count() == 12, "nothing was removed"
    assert len(corpus.target.checkpoint.names()) == 6
    with open_run(opened(new)):
        assert kinds(pruned(new, really=False)) == {"part": 3, "index": 1, "checkpoint": 1}, "a look takes no lease"


def test_a_run_of_the_live_model_is_no_reason_to_keep_a_retired_one(images: Path, tmp_path: Path) -> None:
    new, _ = with_retired_model(config(images, tmp_path / "state", run=NO_GUARDS))
    with open_run(opened(new)) as run:
        assert kinds(pruned(new)) == {"index": 1, "checkpoint": 1}
        run.main.check()
    assert pruned(new).removable == ()


def test_what_goes_is_named_also_where_the_configs_model_was_never_resolved(images: Path, tmp_path: Path) -> None:
    new, _ = with_retired_model(config(images, tmp_path / "state", run=NO_GUARDS))
    never = new | {"model": {"name": "descriptor", "decode": "fast"}}
    assert opened(never).known_card() is None
    assert kinds(pruned(never)) == {"index": 1, "checkpoint": 1}


def test_what_is_kept_true_stays_until_its_time_is_over(images: Path, tmp_path: Path) -> None:
    new, old = with_retired_model(config(images, tmp_path / "state", run=NO_GUARDS))
    _keep(new, "2999-01-01T00:00:00+00:00")
    assert pruned(new).removable == ()
    _keep(new, "2020-01-01T00:00:00+00:00")
    assert kinds(pruned(new)) == {"index": 1, "checkpoint": 1}
    alias = opened(new).alias()[0]
    assert (alias.kept, alias.retired) == ([], [])
    assert opened(new).open_target(old).index.describe() is None


def _keep(settings: dict[str, Any], until: str) -> None:
    from pinery.checkpoint.alias import write_alias

    corpus = opened(settings)
    alias, tag = corpus.alias()
    [entry] = [*alias.kept, *alias.retired]
    write_alias(corpus.store, corpus.paths.alias, replace(alias, kept=[replace(entry, until=until)], retired=[]), tag)


def test_an_old_config_prunes_the_model_that_it_names_once_that_is_retired(images: Path, tmp_path: Path) -> None:
    named = config(images, tmp_path / "state", run=NO_GUARDS)
    with_retired_model(named)
    told = prune(opened(named), really=True, progress=Silent())
    assert kinds(told) == {"index": 1, "checkpoint": 1}
