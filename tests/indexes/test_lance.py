"""The embedded index through real files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pinery.errors import ConfigError, IndexMismatchError, RowsRefusedError
from pinery.indexes import lance
from pinery.indexes.lance import LanceIndex
from pinery.indexes.protocol import Index
from pinery.records import Identity, Stored
from pinery.target_settings import LanceSettings
from tests.indexes.rows import batch, settle

IDENTITY = Identity(state="state-1", incarnation="inc-1", model_key="0123456789")
THREE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "it's an index"


@pytest.fixture
def index(folder: Path) -> LanceIndex:
    """A created index of three dimensions."""
    created = make(folder)
    created.ensure(IDENTITY)
    return created


def make(folder: Path, namespace: str = "n", dimension: int = 3, metric: str = "cosine") -> LanceIndex:
    settings = LanceSettings.model_validate({"kind": "lance", "metric": metric})
    return LanceIndex(settings, folder, "things", namespace, dimension)


def listed(index: LanceIndex) -> list[str]:
    return sorted(id for page in index.list_ids() for id in page)


def unit(rows: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def fill(index: LanceIndex, vectors: NDArray[np.float32]) -> None:
    for start in range(0, len(vectors), index.max_request_rows):
        chunk = vectors[start : start + index.max_request_rows]
        numbers = range(start, start + len(chunk))
        index.upsert(batch([str(n) for n in numbers], chunk, [{"group": n % 7} for n in numbers]))


def test_it_is_an_index(folder: Path) -> None:
    checked: Index = make(folder)
    assert (checked.name, checked.max_concurrency) == ("things", 1)


# Identity.


def test_looking_at_an_absent_index_creates_nothing(folder: Path) -> None:
    index = make(folder)
    assert index.describe() is None
    assert (index.count(), listed(index), index.fetch(["a"]), index.query([1, 0, 0], 5)) == (0, [], {}, [])
    index.delete(["a"])
    settle(index, 1)
    assert not folder.exists()


def test_an_index_is_created_with_its_identity_and_keeps_it(folder: Path) -> None:
    assert make(folder).ensure(IDENTITY) == IDENTITY
    assert make(folder).describe() == IDENTITY
    assert make(folder).ensure(Identity("state-2", "inc-2", "9876543210")) == IDENTITY
    assert [path.name for path in folder.iterdir()] == ["pinery.json"], "no temporary file is left"


def test_another_dimension_or_metric_is_refused_with_both_shapes(folder: Path, index: LanceIndex) -> None:
    wanted = "has dimension 3 and metric cosine; the config needs 4 and cosine"
    with pytest.raises(IndexMismatchError, match=wanted):
        make(folder, dimension=4).describe()
    with pytest.raises(IndexMismatchError, match=r"the config needs 3 and euclidean.*index\.name"):
        make(folder, metric="euclidean").ensure(IDENTITY)


def test_tables_of_another_program_are_refused_and_left_alone(folder: Path) -> None:
    theirs = lancedb.connect(folder).create_table("theirs", [{"vector": [1.0, 2.0, 3.0]}])
    with pytest.raises(IndexMismatchError, match=r"holds Lance tables but no pinery\.json.*index\.name"):
        make(folder).ensure(IDENTITY)
    assert theirs.count_rows() == 1
    assert not (folder / "pinery.json").exists()


# Writing and reading.


def test_rows_come_back_as_written_in_the_same_and_in_a_new_object(folder: Path, index: LanceIndex) -> None:
    values = np.float32([[0.1, -2e-30, 3e30], [1, 2, 3]])
    metadata: list[Mapping[str, Any]] = [
        {
            "label": "Vöglein 🐦 'quoted' \"twice\" \\ \n",
            "n": 3,
            "x": -0.25,
            "big": 2**53,
            "yes": True,
            "tags": ["a", "ä"],
        },
        {},
    ]
    index.upsert(batch(["a", "b"], values, metadata))
    expected = {id: Stored(tuple(row.tolist()), data) for id, row, data in zip("ab", values, metadata, strict=True)}
    assert index.fetch(["a", "b", "absent"]) == expected
    again = make(folder)
    assert again.fetch(["b", "a"]) == expected
    assert (again.describe(), again.count(), listed(again)) == (IDENTITY, 2, ["a", "b"])


def test_an_upsert_replaces_by_id_however_often_it_is_sent(index: LanceIndex) -> None:
    for _ in range(2):
        index.upsert(batch(["a", "b"], THREE[:2]))
    index.upsert(batch(["b", "c"], THREE[1:], [{"new": 1}, {}]))
    assert listed(index) == ["a", "b", "c"]
    assert index.count() == 3
    assert index.fetch(["b"]) == {"b": Stored((0.0, 1.0, 0.0), {"new": 1})}


def test_deletes_take_what_is_there_and_ignore_the_rest(index: LanceIndex) -> None:
    index.upsert(batch(["a", "b", "c"], THREE))
    index.delete(["b", "never there"])
    index.delete([])
    assert (index.count(), listed(index)) == (2, ["a", "c"])
    index.delete(["a", "c"])
    index.delete(["a"])
    assert (index.count(), listed(index), index.query([1, 0, 0], 3)) == (0, [], [])


ODD_IDS = [
    "it's",
    '"',
    "''",
    "a\\b",
    "%",
    "_",
    "a b",
    "\t\n",
    "; DROP TABLE",
    quote("Küche/日本.jpg", safe=""),
    "ü",
    "x" * 512,
    "1",
]


def test_odd_ids_are_distinct_and_found_and_deleted_one_by_one(index: LanceIndex) -> None:
    index.upsert(batch(ODD_IDS, [[1.0, float(n), 0.0] for n in range(len(ODD_IDS))]))
    assert listed(index) == sorted(ODD_IDS)
    for n, id in enumerate(ODD_IDS):
        assert index.fetch([id]) == {id: Stored((1.0, float(n), 0.0), {})}
        index.delete([id])
        assert index.count() == len(ODD_IDS) - n - 1


ODD_NAMESPACES = ["n", "N", "a/b", "a_b", "../up", "", "ü", "it's", "nx-" + "0" * 32, "x" * 512, "x" * 511, "."]


def test_odd_namespaces_hold_their_own_rows(folder: Path) -> None:
    for n, namespace in enumerate(ODD_NAMESPACES):
        one = make(folder, namespace)
        one.ensure(IDENTITY)
        one.upsert(batch(["same", f"own-{n}"], [[float(n), 1.0, 0.0]] * 2))
    for n, namespace in enumerate(ODD_NAMESPACES):
        one = make(folder, namespace)
        assert listed(one) == sorted(["same", f"own-{n}"])
        assert one.fetch(["same"])["same"].values == (float(n), 1.0, 0.0)
    make(folder, "N").delete(["same"])
    assert make(folder, "n").count() == 2
    tables = [path.name.casefold() for path in folder.glob("*.lance")]
    assert len(set(tables)) == len(ODD_NAMESPACES), "no two may meet on a file system that takes no heed of case"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_an_open_index_sees_what_another_process_writes(folder: Path, index: LanceIndex) -> None:
    index.upsert(batch(["a"], [[1, 0, 0]]))
    other = make(folder)
    assert other.count() == 1
    index.upsert(batch(["b"], [[0, 1, 0]]))
    index.delete(["a"])
    settle(index, 1)
    assert (other.count(), listed(other)) == (1, ["b"])
    assert [match.id for match in other.query([1, 0, 0], 5)] == ["b"]
    other.upsert(batch(["c"], [[0, 0, 1]]))
    assert listed(index) == ["b", "c"]


def test_a_write_that_began_before_others_were_shut_out_never_lands(folder: Path, index: LanceIndex) -> None:
    index.upsert(batch(["a"], THREE[:1], [{}]))
    [table_file] = folder.glob("*.lance")
    late = lancedb.connect(folder).open_table(table_file.stem)  # reads the table as it is now, and never again
    rows = late.to_arrow()
    index.shut_out_others()
    index.upsert(batch(["b", "c"], THREE[1:], [{}, {}]))
    merge = late.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    with pytest.raises(RuntimeError, match="Restore"):
        merge.execute(rows.set_column(0, "id", pa.array(["b"])))
    assert listed(index) == ["a", "b", "c"]
    assert index.fetch(["b"])["b"].values == tuple(THREE[1])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([[1.0, 2.0], [1.0, 2.0, 3.0, 4.0]], "^Vector dimension 2 does not match the dimension of the index 3$"),
        ([[1.0, 2.0, 3.0], None], "^Vector dimension 0 does not match"),
        ([[1.0, 2.0, 3.0], [1.0, math.nan, 3.0]], "finite"),
        ([[1.0, 2.0, 3.0], [1.0, math.inf, 3.0]], "finite"),
        ([[1.0, 2.0, 3.0], [1.0, None, 3.0]], "finite"),
    ],
)
def test_vectors_that_do_not_fit_are_refused_and_nothing_is_written(index: LanceIndex, values: Any, text: str) -> None:
    with pytest.raises(RowsRefusedError, match=text):
        index.upsert(batch(["a", "b"], values))
    assert index.count() == 0


# Searching.


@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean"])
def test_matches_come_best_first_with_the_metrics_own_scores(folder: Path, metric: str) -> None:
    index = make(folder, metric=metric)
    index.ensure(IDENTITY)
    index.upsert(batch(["x", "y", "far"], [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [3.0, 3.0, 0.0]], [{"n": 1}, {}, {}]))
    expected = {
        "cosine": [("x", 1.0), ("far", math.sqrt(0.5)), ("y", 0.0)],
        "dotproduct": [("far", 3.0), ("x", 1.0), ("y", 0.0)],
        "euclidean": [("x", 0.0), ("y", -5.0), ("far", -13.0)],  # squared distances, as Pinecone's, with higher nearer
    }[metric]
    found = index.query([1.0, 0.0, 0.0], 10)
    assert [(match.id, pytest.approx(match.score, abs=1e-6)) for match in found] == expected
    assert next(match.metadata for match in found if match.id == "x") == {"n": 1}
    assert [match.id for match in index.query([1.0, 0.0, 0.0], 1)] == [expected[0][0]]


def test_vectors_that_are_nearly_all_alike_are_indexed_too(folder: Path) -> None:
    rows, dimension = 67_000, 8  # enough for Lance to look for clusters within clusters, and to find none
    index = make(folder, dimension=dimension)
    index.ensure(IDENTITY)
    few = unit(5, dimension)
    fill(index, few[np.arange(rows) % 5])
    settle(index, 1)
    assert ann_rows(index) == rows
    for number, vector in enumerate(few):
        found = index.query(vector, 10)
        assert {int(match.id) % 5 for match in found} == {number}
        assert found[0].score == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean"])
def test_above_the_exact_limit_an_ann_index_answers_as_well(
    folder: Path, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance, "EXACT_BELOW_ROWS", 12_000)
    dimension, rows, queries = 16, 12_000, 40
    vectors, wanted = unit(rows + 1, dimension), unit(queries, dimension, seed=1)
    index = make(folder, dimension=dimension, metric=metric)
    index.ensure(IDENTITY)
    fill(index, vectors[: rows - 1])
    settle(index, 1)
    assert ann_rows(index) is None, "one row short of the limit every search is exact"
    fill(index, vectors[:rows])
    settle(index, 1)
    assert ann_rows(index) == rows
    scores = wanted @ vectors[:rows].T  # of vectors of length 1, so the order is the same in every metric
    assert recall(index, wanted, scores) >= 0.95
    groups = np.arange(rows) % 7
    assert recall(index, wanted, np.where(groups == 3, scores, -2.0), {"group": {"$eq": 3}}) >= 0.95
    index.upsert(batch(["late"], vectors[rows:]))
    assert index.query(vectors[rows].tolist(), 1)[0].id == "late", "rows that the ANN index lacks are searched too"
    settle(index, 1)
    assert ann_rows(index) == rows + 1


def ann_rows(index: LanceIndex) -> int | None:
    """Return how many rows the ANN index of vectors has; None where there is none."""
    table = index._table()
    names = [found.name for found in table.list_indices() if found.columns == ["vector"]]
    return table.index_stats(names[0]).num_indexed_rows if names else None


def recall(
    index: LanceIndex, queries: NDArray[np.float32], scores: NDArray[np.float32], filter: dict[str, Any] | None = None
) -> float:
    """Recall@10 against exact `scores` of shape (queries, rows)."""
    best = np.argsort(-scores, axis=1)[:, :10]
    found = [{int(match.id) for match in index.query(query.tolist(), 10, filter)} for query in queries]
    return float(np.mean([len(ids & set(row.tolist())) / 10 for ids, row in zip(found, best, strict=True)]))


ROWS: dict[str, dict[str, Any]] = {
    "seal": {"label": "seal", "n": 1, "wild": True},
    "ship": {"label": "ship", "n": 2.5, "wild": False},
    "both": {"label": "seal", "n": -3, "tags": ["wet", "old"]},
    "text": {"label": "1", "n": "1", "wild": "true"},
    "none": {},
}


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({}, "both none seal ship text"),
        ({"label": "seal"}, "both seal"),
        ({"label": {"$eq": "seal"}}, "both seal"),
        ({"n": {"$eq": 1}}, "seal"),
        ({"n": {"$eq": "1"}}, "text"),
        ({"wild": True}, "seal"),
        ({"wild": False}, "ship"),
        ({"tags": "wet"}, "both"),
        ({"label": {"$ne": "seal"}}, "ship text"),
        ({"tags": {"$ne": "dry"}}, "both"),
        ({"n": {"$gt": 1}}, "ship"),
        ({"n": {"$gte": 1}}, "seal ship"),
        ({"n": {"$lt": 1}}, "both"),
        ({"n": {"$lte": 1.0}}, "both seal"),
        ({"n": {"$gt": -3, "$lt": 2.5}}, "seal"),
        ({"label": {"$in": ["ship", "1"]}}, "ship text"),
        ({"n": {"$in": [1, 2.5, "x"]}}, "seal ship"),
        ({"tags": {"$in": ["old", "x"]}}, "both"),
        ({"label": {"$in": []}}, ""),
        ({"label": {"$nin": ["seal", "1"]}}, "ship"),
        ({"label": {"$nin": []}}, "both seal ship text"),
        ({"tags": {"$nin": ["wet"]}}, ""),
        ({"tags": {"$exists": True}}, "both"),
        ({"tags": {"$exists": False}}, "none seal ship text"),
        ({"$and": [{"label": "seal"}, {"n": {"$gt": 0}}]}, "seal"),
        ({"$or": [{"n": 2.5}, {"tags": "old"}]}, "both ship"),
        ({"label": "seal", "n": {"$lt": 0}}, "both"),
        ({"$or": [{"$and": [{"label": "seal"}, {"n": 1}]}, {"wild": False}], "n": {"$gte": 2}}, "ship"),
    ],
    ids=str,
)
def test_every_filter_operator(index: LanceIndex, filter: dict[str, Any], expected: str) -> None:
    index.upsert(batch(list(ROWS), [[1.0, float(n), 1.0] for n in range(len(ROWS))], list(ROWS.values())))
    assert sorted(match.id for match in index.query([1.0, 1.0, 1.0], 10, filter)) == expected.split()


@pytest.mark.parametrize(
    ("filter", "text"),
    [
        ({"$not": []}, r"unknown operator \$not; allowed: \$eq"),
        ({"a": {"$like": "b"}}, r"unknown operator \$like"),
        ({"a": {}}, "condition on 'a' is empty"),
        ({"a": ["b"]}, "not a string, a number or a boolean"),
        ({"a": None}, "not a string, a number or a boolean"),
        ({"a": {"$gt": "1"}}, r"\$gt takes a number, not '1'"),
        ({"a": {"$lte": True}}, r"\$lte takes a number, not True"),
        ({"a": {"$in": "b"}}, r"\$in takes a list"),
        ({"a": {"$exists": 1}}, r"\$exists takes true or false, not 1"),
        ({"$or": []}, r"\$or takes a list of filters"),
        ({"$and": {"a": 1}}, r"\$and takes a list of filters"),
    ],
    ids=str,
)
def test_a_wrong_filter_is_refused_with_what_is_allowed(index: LanceIndex, filter: dict[str, Any], text: str) -> None:
    index.upsert(batch(["a"], [[1, 0, 0]]))
    with pytest.raises(ConfigError, match=text):
        index.query([1, 0, 0], 1, filter)


@pytest.mark.parametrize("leftovers", [["ns-n.lance"], ["ns-n.lance/_versions", "ns-n.lance/_transactions"]], ids=str)
def test_a_table_whose_making_was_broken_off_is_made_anew(
    index: LanceIndex, folder: Path, leftovers: list[str]
) -> None:
    for name in leftovers:
        (folder / name).mkdir(parents=True)
    assert index.count() == 0
    index.upsert(batch(["a"], THREE[:1]))
    assert listed(make(folder)) == ["a"]


def test_an_index_is_discarded_once_no_namespace_holds_rows(folder: Path, index: LanceIndex) -> None:
    other = make(folder, "other")
    for one in (index, other):
        one.upsert(batch(["a"], [THREE[0]], [{}]))
        one.leave_mark("1-mark")
    assert not index.discard(), "both hold rows"
    index.drop()
    assert not index.discard()
    assert (index.count(), other.count()) == (0, 1)
    other.drop()
    (folder / "note.txt").write_text("somebody's")
    assert index.discard()
    assert [path.name for path in folder.iterdir()] == ["note.txt"]
    assert index.describe() is None
    (folder / "note.txt").unlink()
    assert index.discard(), "one that is gone is no error"
    assert not folder.exists()


def test_a_table_that_was_half_removed_is_removed_by_the_next(folder: Path, index: LanceIndex) -> None:
    index.upsert(batch(["a"], [THREE[0]], [{}]))
    [table] = folder.glob("*.lance")
    table.rename(folder / f".{table.stem}.dropped")
    assert make(folder).count() == 0
    make(folder).drop()
    assert make(folder).discard()
    assert not folder.exists()
