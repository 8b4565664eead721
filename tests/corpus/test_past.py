"""A state remembers nothing more of a corpus' items for the source that lists them than was published."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.listings import write_listing
from pinery.errors import DamagedError
from pinery.records import Item
from tests.corpora import config, item_batches, listed_items
from tests.filled import opened


def publish(settings: dict[str, Any], items: list[Item], name: str = "20990101T000000000001Z-abcdef") -> None:
    """Make a listing of these items the current one."""
    store = opened(settings).store
    path = store.scratch("making") / "listing.parquet"
    write_listing(item_batches(items), path, lambda _: None)
    store.publish(opened(settings).paths.listing(name), path)


def item(id: str, version: str, uri: str = "") -> Item:
    return Item(id, uri or f"file:///images/{id}", version, 7, "{}")


def test_before_the_first_run_there_is_no_past_and_none_is_made(images: Path, tmp_path: Path) -> None:
    past = opened(config(images, tmp_path / "state")).past
    assert (past.cache(), past.listed_at(), dict(past.marked())) == (None, 0, {})
    assert list(past.below("file:///")) == []
    assert dict(past.sums([("a", "v")])) == {}
    assert not (tmp_path / "state").exists()


def test_a_listing_is_as_old_as_its_run(filled: dict[str, Any]) -> None:
    past = opened(filled).past
    assert 0 < past.listed_at() < datetime.now(UTC).timestamp() * 1e9
    publish(filled, [])
    assert past.listed_at() == int(datetime(2099, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000 + 1000


def test_versions_with_a_third_part_are_told(filled: dict[str, Any]) -> None:
    marked, plain = item("a", "123-456-ab12"), item("b", "123-456")
    publish(filled, [marked, plain, item("c", "etag-of-s3"), item("d", "123--456-0")])
    assert dict(opened(filled).past.marked()) == {"a": "123-456-ab12", "d": "123--456-0"}


def test_what_lies_below_a_folder_is_told_and_not_what_only_begins_alike(filled: dict[str, Any]) -> None:
    uris = ["file:///i/one/a.jpg", "file:///i/one/deep/b.jpg", "file:///i/one-more/c.jpg", "file:///i/one"]
    publish(filled, [item(str(at), f"v{at}", uri) for at, uri in enumerate(uris)])
    for folder in ("file:///i/one", "file:///i/one/"):
        found = list(opened(filled).past.below(folder))
        assert [uri for uri, _, _ in found] == [uris[0], uris[1], *([uris[3]] if folder == uris[3] else [])]
        assert found[0] == (uris[0], "v0", 7)


def test_the_sum_of_bytes_that_were_had_is_known_by_id_and_version(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    items = listed_items(corpus.source)
    wanted = [(one.id, one.version) for one in items]
    found = corpus.past.sums([*wanted, (items[0].id, "another version"), ("nobody", "v")])
    data = Path(filled["source"]["path"], items[0].id).read_bytes()
    assert found[wanted[0]] == hashlib.sha256(data).hexdigest()
    assert set(found) == set(wanted), "of no other version, and of nobody else"


def test_the_sums_of_the_live_index_serve_another_model(filled: dict[str, Any]) -> None:
    corpus = opened(filled | {"model": {"name": "descriptor", "decode": "scaled"}})
    assert corpus.cards.stored() is None, "it was never resolved here"
    wanted = [(one.id, one.version) for one in listed_items(corpus.source)]
    assert set(corpus.past.sums(wanted)) == set(wanted)


def test_a_damaged_listing_is_told(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    path = corpus.store.local(str(corpus.current_listing()))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedError, match="it makes a new listing"):
        list(corpus.past.below("file:///"))
