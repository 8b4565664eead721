"""A state that was copied or restored is refused before it writes to an index that the other has written to since."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.reindex import reindex
from flows.upsert import upsert
from flows.verify import verify
from pinery.corpus.progress import Silent
from pinery.errors import DifferentError, RefusedError
from pinery.steps.preview import preview
from pinery.steps.remove import remove
from tests.corpora import config, paint
from tests.filled import bring, opened, rows_of
from tests.pinecone_server.server import PineconeServer


@pytest.fixture
def original(images: Path, tmp_path: Path, server: PineconeServer) -> dict[str, Any]:
    """A corpus of twelve images, in the index."""
    made = config(images, tmp_path / "state", index={"kind": "pinecone"})
    bring(made)
    return made


def copied(settings: dict[str, Any]) -> dict[str, Any]:
    """The same corpus with a copy of the state as it is now."""
    folder = f"{settings['state']}-copy"
    shutil.copytree(settings["state"], folder)
    return settings | {"state": folder}


def writes(server: PineconeServer) -> int:
    return sum(server.log.count(op) for op in ("upsert", "delete", "delete_namespace", "configure_index"))


def identity_file(settings: dict[str, Any]) -> Path:
    [path] = Path(settings["state"]).glob("test/indexes/*/*/*/identity.json")
    return path


def refuse(settings: dict[str, Any], server: PineconeServer) -> None:
    """Whatever would write is refused, and writes nothing."""
    before, listings = writes(server), sorted(Path(settings["state"]).glob("test/listings/*"))
    for action in (reindex, upsert, lambda made: verify(made, repair=True)):
        with pytest.raises(RefusedError, match=r"last written by another copy of this state, under lease epoch \d"):
            action(settings)
    with pytest.raises(RefusedError, match="another copy"):
        remove(opened(settings), really=True, progress=Silent()).to_dict()
    assert (writes(server), sorted(Path(settings["state"]).glob("test/listings/*"))) == (before, listings)


def test_the_copy_is_refused_once_the_original_has_written(
    original: dict[str, Any], images: Path, server: PineconeServer
) -> None:
    copy = copied(original)
    paint(images / "red-0.jpg", "blue", 99)
    reindex(original)
    refuse(copy, server)
    assert any("another copy" in reason for reason in preview(opened(copy), None).to_dict()["refused"])
    assert remove(opened(copy), really=False, progress=Silent()).to_dict()["rows"] == 12
    assert reindex(original)["verified"]


def test_the_original_is_refused_once_the_copy_has_written(
    original: dict[str, Any], images: Path, server: PineconeServer
) -> None:
    copy = copied(original)
    paint(images / "red-0.jpg", "blue", 99)
    reindex(copy)
    refuse(original, server)


def test_a_restored_backup_is_refused_though_its_next_epoch_is_the_index_own(
    original: dict[str, Any], images: Path, server: PineconeServer
) -> None:
    backup = copied(original)
    paint(images / "red-0.jpg", "blue", 99)
    reindex(original)
    shutil.rmtree(original["state"])
    shutil.copytree(backup["state"], original["state"])
    refuse(original, server)


def test_the_owner_says_which_state_is_right_by_a_full_repair(
    original: dict[str, Any], images: Path, server: PineconeServer
) -> None:
    copy, before = copied(original), rows_of(original)
    paint(images / "red-0.jpg", "blue", 99)
    paint(images / "red-new.jpg", "red", 77)
    reindex(original)
    (images / "red-new.jpg").unlink()
    with pytest.raises(DifferentError) as caught:
        verify(copy, full=True)
    assert (caught.value.result["wrong"], caught.value.result["extra"]) == (1, 1)
    verify(copy, full=True, repair=True)
    assert rows_of(copy) == before, "what the copy's listing says"
    assert reindex(copy)["changed"] == 1
    refuse(original, server)


def test_a_full_repair_with_nothing_to_repair_takes_the_index_over_too(
    original: dict[str, Any], images: Path, server: PineconeServer
) -> None:
    copy = copied(original)
    first = (images / "red-0.jpg").read_bytes()
    paint(images / "red-0.jpg", "blue", 99)
    reindex(original)
    (images / "red-0.jpg").write_bytes(first)
    reindex(original)
    verify(copy, full=True, repair=True)
    assert reindex(copy)["verified"]
    refuse(original, server)


def test_a_run_with_nothing_to_write_writes_no_mark(original: dict[str, Any], server: PineconeServer) -> None:
    before = writes(server)
    reindex(original)
    assert writes(server) == before


def test_an_index_that_the_version_before_filled_is_taken_as_it_is(
    original: dict[str, Any], images: Path, server: PineconeServer
) -> None:
    opened(original).target.index.leave_mark("")
    record = json.loads(identity_file(original).read_text())
    del record["marks"]
    identity_file(original).write_text(json.dumps(record))
    assert reindex(original)["unchanged"] == 12
    paint(images / "red-0.jpg", "blue", 99)
    assert reindex(original)["changed"] == 1
    assert opened(original).target.index.read_mark() is not None


def test_a_run_that_died_before_its_mark_reached_the_index_is_no_other_state(
    original: dict[str, Any], images: Path
) -> None:
    record = json.loads(identity_file(original).read_text())
    identity_file(original).write_text(json.dumps(record | {"marks": ["9-00000000", *record["marks"]]}))
    paint(images / "red-0.jpg", "blue", 99)
    assert reindex(original)["changed"] == 1
    opened(original).target.index.leave_mark("9-00000000")  # it arrives late
    assert reindex(original)["unchanged"] == 12
