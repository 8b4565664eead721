"""The main job on real files: what changes is done, what doesn't is left alone, what is bad costs one row."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image

from flows.reindex import reindex
from flows.upsert import upsert
from pinery.errors import ConfigError, IndexMismatchError, NothingLiveError, RefusedError, TerminalError
from pinery.records import Stored
from pinery.search.query import Query, search
from pinery.steps.preview import preview
from pinery.steps.status import status
from tests.corpora import config, paint
from tests.filled import counts, opened, rows_of
from tests.pinecone_server.server import PineconeServer
from tests.small_models import squeezenet_weights


def parts(state: Path) -> list[str]:
    return sorted(path.name for path in state.glob("test/*/parts/*.parquet"))


def test_a_first_run_embeds_everything_and_a_second_nothing(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    first = reindex(settings)
    assert counts(first) == {"new": 12, "embedded": 12, "upserted": 12}
    assert first["listed"] == 12
    assert first["parts"] == 3
    assert first["verified"]
    assert sorted(rows_of(settings)) == sorted(path.name for path in images.iterdir())
    assert rows_of(settings)["red-1.jpg"].metadata == {"label": "red"}
    second = reindex(settings)
    assert counts(second) == {"unchanged": 12}
    assert second["index"] == first["index"]


def test_one_changed_one_added_one_removed(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    before = rows_of(settings)
    paint(images / "red-0.jpg", "red", 100)
    paint(images / "blue-9.jpg", "blue", 9)
    (images / "green-3.jpg").unlink()
    report = reindex(settings)
    assert counts(report) == {"new": 1, "changed": 1, "deleted": 1, "unchanged": 10, "embedded": 2, "upserted": 2}
    after = rows_of(settings)
    assert after.keys() == (before.keys() - {"green-3.jpg"}) | {"blue-9.jpg"}
    assert after["red-0.jpg"].values != before["red-0.jpg"].values
    assert after["red-1.jpg"] == before["red-1.jpg"]


def test_new_labels_cost_no_embedding(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    vectors = {id: stored.values for id, stored in rows_of(settings).items()}
    settings["source"]["metadata"] = "^(?P<colour>[^-]+)-(?P<number>[0-9]+)"
    report = reindex(settings)
    assert counts(report) == {"relabelled": 12, "upserted": 12}
    assert rows_of(settings)["red-1.jpg"].metadata == {"colour": "red", "number": "1"}
    assert {id: stored.values for id, stored in rows_of(settings).items()} == vectors


def test_a_renamed_file_takes_the_vector_that_its_bytes_have(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    vector = rows_of(settings)["red-0.jpg"].values
    (images / "red-0.jpg").rename(images / "green-7.jpg")
    report = reindex(settings)
    assert counts(report) == {"new": 1, "deleted": 1, "unchanged": 11, "reused": 1, "upserted": 1}
    assert rows_of(settings)["green-7.jpg"] == Stored(vector, {"label": "green"})


def test_a_reverted_file_costs_nothing(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    path, kept = images / "red-0.jpg", tmp_path / "kept.jpg"
    shutil.copy2(path, kept)
    reindex(settings)
    before = rows_of(settings)
    paint(path, "red", 100)
    reindex(settings)
    shutil.copy2(kept, path)
    assert counts(reindex(settings)) == {"changed": 1, "unchanged": 11, "upserted": 1}
    assert rows_of(settings) == before


def test_another_index_is_filled_from_the_checkpoint(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    published = parts(tmp_path / "state")
    pinecone = settings | {"index": {"kind": "pinecone"}}
    report = reindex(pinecone)
    assert counts(report) == {"new": 12, "upserted": 12}
    assert parts(tmp_path / "state") == published
    assert rows_of(pinecone) == rows_of(settings)
    assert status(opened(settings)).to_dict()["live"]["kind"] == "pinecone"


def test_upsert_fills_a_fresh_index_without_model_or_images(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    expected, live = rows_of(settings), status(opened(settings)).live
    shutil.rmtree(images)
    report = upsert(settings, index="a-fresh-one")
    assert counts(report) == {"new": 12, "upserted": 12}
    assert rows_of(settings | {"index": {"kind": "lance", "name": "a-fresh-one"}}) == expected
    assert status(opened(settings)).live == live, "filling another index leaves the live one live"


def test_bad_files_cost_one_row_each_and_are_listed_with_reasons(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    whole = (images / "red-0.jpg").read_bytes()
    (images / "red-0.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "red-1.jpg").write_bytes(b"")
    (images / "red-2.jpg").write_text("<html>not an image</html>")
    report = reindex(settings)
    assert counts(report) == {"new": 12, "embedded": 9, "upserted": 9, "quarantined": 3}
    bad = {row["id"]: row["reason"] for row in status(opened(settings)).to_dict()["quarantined"]}
    assert bad.keys() == {"red-0.jpg", "red-1.jpg", "red-2.jpg"}
    assert "truncated" in bad["red-0.jpg"]
    assert "empty" in bad["red-1.jpg"]
    assert "HTML page" in bad["red-2.jpg"]
    assert "red-0.jpg" not in rows_of(settings)
    again = reindex(settings)
    assert counts(again) == {"unchanged": 9, "quarantined": 3}


def test_a_mended_file_leaves_quarantine_and_a_broken_one_leaves_the_index(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    whole = (images / "red-0.jpg").read_bytes()
    (images / "red-0.jpg").write_bytes(b"broken")
    reindex(settings)
    (images / "red-0.jpg").write_bytes(whole)
    (images / "blue-0.jpg").write_bytes(b"broken since")
    report = reindex(settings)
    assert report["quarantined"] == 1
    assert report["deleted"] == 1
    assert "red-0.jpg" in rows_of(settings)
    assert "blue-0.jpg" not in rows_of(settings), "its old vector is of bytes that are no more"


def test_quarantined_items_are_tried_again_only_when_asked(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state", run={"part_rows": 5, "max_pixels": 100})
    paint(images / "red-0.jpg", "red", 0)
    with pytest.raises(NothingLiveError, match=r"all 12 images .* `retry_quarantined`"):
        reindex(settings)
    settings["run"] = {"part_rows": 5}
    with pytest.raises(NothingLiveError, match=r"none of the 12 listed images .* 12 are quarantined"):
        reindex(settings)  # for the same reason, and with the same end, as the night before
    report = reindex(settings, retry_quarantined=True)
    assert (report["quarantined"], report["embedded"], report["upserted"]) == (0, 12, 12)


def test_guards_refuse_before_anything_is_embedded(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    before = rows_of(settings)
    for number in range(3):
        (images / f"red-{number}.jpg").unlink()
    paint(images / "blue-9.jpg", "blue", 9)
    with pytest.raises(RefusedError, match=r"3 of the 12 rows .* `allow_deletes`"):
        reindex(settings)
    assert rows_of(settings) == before
    assert parts(tmp_path / "state") == [f"part-{n:08d}.parquet" for n in range(3)]
    assert reindex(settings, allow_deletes=True)["deleted"] == 3


def test_an_empty_listing_is_an_error_and_deletes_nothing(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    for path in images.iterdir():
        path.unlink()
    with pytest.raises(TerminalError, match="lists no image") as caught:
        reindex(settings, allow_deletes=True)
    assert (caught.value.exit_code, caught.value.rerun_helps) == (1, False)
    with pytest.raises(TerminalError, match="lists no image"):
        preview(opened(settings), None)
    assert len(rows_of(settings)) == 12


def test_limit_restricts_the_work_and_deletes_nothing(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    report = reindex(settings, limit=5)
    assert (report["listed"], report["embedded"], report["upserted"], report["limited"]) == (12, 5, 5, 5)
    with pytest.raises(ConfigError, match="`limit` 13 is above the 12 items"):
        reindex(settings, limit=13)
    (images / "blue-0.jpg").unlink()
    report = reindex(settings, limit=5)
    assert (report["deleted"], report["embedded"]) == (0, 1), "the next item has moved into the first five"
    assert counts(reindex(settings)) == {"new": 6, "deleted": 1, "unchanged": 5, "embedded": 6, "upserted": 6}


def test_vectors_are_those_of_a_plain_torchvision_script(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state", model=squeezenet_weights(tmp_path))
    reindex(settings)
    network = torchvision.models.squeezenet1_1()
    network.load_state_dict(torch.load(settings["model"]["weights"], weights_only=True))
    transform = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()
    for name, stored in rows_of(settings).items():
        with Image.open(images / name) as image, torch.inference_mode():
            expected = network.eval()(transform(image).unsqueeze(0))[0].numpy()
        assert len(stored.values) == 1000
        np.testing.assert_allclose(stored.values, expected, rtol=0, atol=1e-5)


def test_a_rerun_needs_neither_weights_nor_model(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state", model=squeezenet_weights(tmp_path))
    reindex(settings)
    Path(settings["model"]["weights"]).unlink()
    assert counts(reindex(settings)) == {"unchanged": 12}
    assert preview(opened(settings), None).to_dict()["unchanged"] == 12
    assert upsert(settings, index="fresh")["upserted"] == 12


def test_an_index_of_another_state_is_refused_with_both_names(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    first = config(images, tmp_path / "one", index={"kind": "pinecone", "name": "shared"})
    reindex(first)
    second = config(images, tmp_path / "two", index={"kind": "pinecone", "name": "shared"})
    with pytest.raises(IndexMismatchError, match="belongs to state"):
        reindex(second)
    assert parts(tmp_path / "two") == [], "refused before anything was embedded"


def test_an_index_made_anew_voids_the_ledger(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    expected = rows_of(settings)
    shutil.rmtree(tmp_path / "state" / "lance")
    report = reindex(settings)
    assert counts(report) == {"new": 12, "upserted": 12}
    assert rows_of(settings) == expected


def test_plan_tells_what_run_does_and_changes_nothing(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    told = preview(opened(settings), None).to_dict()
    assert (told["new"], told["to_embed"]) == (12, 12)
    assert not (tmp_path / "state" / "state.json").exists()
    reindex(settings)
    paint(images / "red-0.jpg", "red", 100)
    for path in (images / "red-1.jpg", images / "red-2.jpg", images / "red-3.jpg"):
        path.unlink()
    before = sorted((str(path), path.stat().st_mtime_ns) for path in (tmp_path / "state" / "test").rglob("*"))
    told = preview(opened(settings), None).to_dict()
    assert (told["changed"], told["deleted"], told["unchanged"], told["to_embed"]) == (1, 3, 8, 1)
    assert "`allow_deletes`" in told["refused"][0]
    assert sorted((str(path), path.stat().st_mtime_ns) for path in (tmp_path / "state" / "test").rglob("*")) == before


def test_files_that_all_went_bad_delete_nothing_neither_now_nor_on_the_next_night(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    before = rows_of(settings)
    for path in images.iterdir():
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TerminalError, match="all 12 images"):
        reindex(settings)
    with pytest.raises(RefusedError, match=r"12 of the 12 rows .* are its files whole"):
        reindex(settings)
    assert rows_of(settings) == before
    assert status(opened(settings)).to_dict()["last_run"]["state"] == "refused"


def test_a_few_files_gone_bad_within_one_run_are_guarded_too(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    for number in range(3):
        (images / f"red-{number}.jpg").write_bytes(b"bad")
    paint(images / "blue-9.jpg", "blue", 9)
    with pytest.raises(RefusedError, match=r"3 of the 13 rows .* Nothing was deleted"):
        reindex(settings)
    assert len(rows_of(settings)) == 13
    assert reindex(settings, allow_deletes=True)["deleted"] == 3


def test_images_that_the_quarantine_guard_kept_unpublished_are_named_by_status(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state", run={"part_rows": 500})
    reindex(settings)
    for number in range(110):
        (images / f"bad-{number:03}.jpg").write_bytes(b"no image")
    with pytest.raises(RefusedError, match=r"over the quarantine_guard of 5%.*bad-0\d\d\.jpg: "):
        reindex(settings)
    told = status(opened(settings)).to_dict()
    assert told["quarantined"] == []
    assert len(told["last_run"]["examples"]) == 20
    assert all(one["id"].startswith("bad-") and one["reason"] for one in told["last_run"]["examples"])


def test_one_bad_new_file_does_not_fail_a_night(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    (images / "blue-9.jpg").write_bytes(b"bad")
    (images / "red-0.jpg").unlink()
    report = reindex(settings)
    assert (report["quarantined"], report["deleted"], report["verified"]) == (1, 1, True)


def test_search_refuses_an_index_kind_that_is_not_live(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    reindex(settings | {"index": {"kind": "pinecone"}})
    with pytest.raises(IndexMismatchError, match=r"pinecone:.* is not of the config's index\.kind, which is lance"):
        search(opened(settings), Query(id="red-0.jpg"))


def test_a_run_that_fails_early_is_the_last_run_of_status(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    shutil.rmtree(images)
    with pytest.raises(ConfigError):
        reindex(settings)
    last = status(opened(settings)).to_dict()["last_run"]
    assert last["state"] == "failed"
    assert "does not exist" in last["error"]


def test_a_lease_deleted_by_hand_does_no_harm(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    reindex(settings)
    for path in (tmp_path / "state").glob("test/*/lease.json"):
        path.unlink()
    paint(images / "blue-9.jpg", "blue", 9)
    assert counts(reindex(settings)) == {"new": 1, "unchanged": 12, "embedded": 1, "upserted": 1}


def test_a_part_has_the_columns_of_the_design(images: Path, tmp_path: Path) -> None:
    reindex(config(images, tmp_path / "state"))
    [key_folder] = [path for path in (tmp_path / "state" / "test").iterdir() if (path / "parts").exists()]
    schema = pq.read_schema(key_folder / "parts" / "part-00000000.parquet")
    assert schema.names == ["id", "version", "sha256", "values", "error"]
    assert str(schema.field("values").type) == "list<element: float>"


def test_nothing_is_left_in_scratch(images: Path, tmp_path: Path) -> None:
    reindex(config(images, tmp_path / "state"))
    left = [name for _, _, names in os.walk(tmp_path / "state" / ".scratch") for name in names]
    assert left == []


@pytest.mark.parametrize("damage", ["cut", "empty", "zeros"])
def test_a_damaged_part_is_named_and_may_be_deleted(images: Path, tmp_path: Path, damage: str) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    part = sorted((tmp_path / "state").glob("test/*/parts/*.parquet"))[1]
    data = part.read_bytes()
    part.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "zeros": bytes(len(data))}[damage])
    with pytest.raises(TerminalError, match=rf"{part.name} is damaged.*delete it") as caught:
        reindex(settings)
    assert "its images are embedded again" in str(caught.value)
    part.unlink()
    report = reindex(settings)
    assert (report["embedded"], report["unchanged"]) == (5, 12)
    assert sorted(rows_of(settings)) == sorted(path.name for path in images.iterdir())
