"""The candidate of a backfill: which target it is, from its first start to its end, and what is no candidate."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.alias import write_alias
from pinery.corpus.open_run import open_run
from pinery.errors import ConfigError, RefusedError
from pinery.steps.candidate import candidate_of, newer_listing, note_candidate, say_new_index
from pinery.steps.find_index import ensure_index, find_index
from pinery.steps.list_items import copy_current_listing
from tests.corpora import config
from tests.filled import Heard, bring, opened
from tests.pinecone_server.server import PineconeServer

SCALED = {"name": "descriptor", "decode": "scaled"}


def test_the_candidate_has_the_new_model_and_an_index_and_a_lease_of_its_own(filled: dict[str, Any]) -> None:
    live = opened(filled).alias()[0].live
    assert live is not None
    corpus = opened(filled | {"model": SCALED})
    with open_run(opened(filled)), open_run(corpus, candidate_of(corpus)) as run:
        entry = run.main.target.entry
        assert (entry.card.decoder, entry.card.key == live.card.key, entry.name == live.name) == (
            "scaled",
            False,
            False,
        )
        note_candidate(run.main)
        note_candidate(run.main, "undecided", "listings/x.parquet")
    alias = opened(filled).alias()[0]
    [noted] = alias.candidates
    assert noted.same_target(entry)
    assert (noted.gate, noted.listing, alias.live, alias.generation) == ("undecided", "listings/x.parquet", live, 1)


def test_a_backfill_goes_on_with_the_card_that_it_began_with(filled: dict[str, Any]) -> None:
    corpus = opened(filled | {"model": SCALED})
    with open_run(corpus, candidate_of(corpus)) as run:
        note_candidate(run.main)
        begun = run.main.target.entry
    alias, tag = corpus.alias()
    other = replace(begun, card=replace(begun.card, revision="resolved-on-another-machine"))
    index = {"kind": "lance", "name": other.name}
    write_alias(corpus.store, corpus.paths.alias, replace(alias, candidates=[other]), tag)
    again = opened(filled | {"model": SCALED, "index": index})
    assert candidate_of(again)(again.alias()[0]).main.card == other.card
    fresh = opened(filled | {"model": SCALED, "index": {"kind": "lance", "name": "elsewhere"}})
    assert candidate_of(fresh)(fresh.alias()[0]).main.card == begun.card, "another index is another backfill"


@pytest.mark.parametrize(
    ("live", "kept", "match"),
    [
        ("exact", False, r"descriptor \(model key .*\) is the live model already, in index"),
        ("scaled", True, r"is kept true until 2999-.*, by every run: `pinery promote CONFIG --index"),
    ],
)
def test_what_is_live_or_kept_is_no_candidate(filled: dict[str, Any], live: str, kept: bool, match: str) -> None:
    corpus = opened(filled)
    alias, tag = corpus.alias()
    assert alias.live is not None
    other = replace(alias.live, name="other", card=replace(alias.live.card, decoder="scaled"), model=None)
    beside = [replace(alias.live, until="2999-01-01T00:00:00+00:00")] if kept else []
    first = other if live == "scaled" else alias.live
    write_alias(corpus.store, corpus.paths.alias, replace(alias, live=first, kept=beside), tag)
    with pytest.raises(RefusedError, match=match):
        candidate_of(opened(filled))(opened(filled).alias()[0])


def test_before_the_first_run_there_is_nothing_to_compare_with(images: Path, tmp_path: Path) -> None:
    corpus = opened(config(images, tmp_path / "state"))
    with pytest.raises(ConfigError, match=r"corpus test has no live index yet.*`pinery run` makes one"):
        candidate_of(corpus)(corpus.alias()[0])
    assert not (tmp_path / "state").exists()


def test_a_newer_listing_is_told_from_the_one_that_the_candidate_is_at(filled: dict[str, Any]) -> None:
    corpus = opened(filled | {"model": SCALED})
    with open_run(corpus, candidate_of(corpus)) as run:
        listing = copy_current_listing(run)
        assert listing.name == corpus.current_listing()
        assert newer_listing(run, listing) is None
        later = f"{corpus.paths.listings}/29990101T000000000000Z-abcdef.parquet"
        corpus.store.write(later, listing.path.read_bytes())
        newer = newer_listing(run, listing)
        assert newer is not None
        assert newer.name == later


def test_a_new_index_is_told_with_the_number_of_those_that_are_there(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    settings = config(images, tmp_path / "state", index={"kind": "pinecone"})
    bring(settings)
    corpus, heard = opened(settings | {"model": SCALED}), Heard()
    with open_run(corpus, candidate_of(corpus), progress=heard) as run:
        find_index(run.main)
        say_new_index(run.main)
        ensure_index(run.main)
        say_new_index(run.main)
    [line] = heard.notes
    assert "whose plan limits their number: 1; this backfill makes pinery-descriptor-" in line
