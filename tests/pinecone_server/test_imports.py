"""Bulk imports into the local Pinecone, started and followed with the real SDK, from Parquet on a local S3."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pinecone
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pinecone_server import PineconeServer
from tests.pinecone_server.client import NEW, connect, create, rows
from tests.pinecone_server.fixtures import prompt_server as pinecone_server
from tests.pinecone_server.imports import Import
from tests.s3_server import S3Server, s3_server

__all__ = ["pinecone_server", "s3_server"]

DIMENSION = 3
SCHEMA = pa.schema([("id", pa.string()), ("values", pa.list_(pa.float32())), ("metadata", pa.string())])
GOOD = [{"id": "a", "values": [1.0, 0.0, 0.0], "metadata": '{"row": 1}'}, {"id": "b", "values": [0.0, 1.0, 0.0]}]


@dataclass
class Place:
    """A bucket, a server that imports from it, and an index there."""

    server: PineconeServer
    s3: S3Server
    bucket: str
    index: Any

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/exports/one"

    def put(self, path: str, table: pa.Table | bytes) -> None:
        """An object below the import's directory."""
        if isinstance(table, pa.Table):
            written = BytesIO()
            pq.write_table(table, written)
            table = written.getvalue()
        self.s3.client().put_object(Bucket=self.bucket, Key=f"exports/one/{path}", Body=table)

    def run(self, expected: str, **options: Any) -> Any:
        """Start an import, wait until it has ended as expected, and describe it."""
        id = self.index.start_import(uri=self.uri, **options).id
        assert self.reaches(id, expected), self.started(id)
        return self.index.describe_import(id)

    def reaches(self, id: str, status: str) -> bool:
        return self.server.wait_for_import("imported", id, status)

    def started(self, id: str) -> Import:
        return self.server.imports("imported").runs[id]

    def ids(self, namespace: str) -> list[str]:
        return [item.id for page in self.index.list(namespace=namespace) for item in page.vectors]


@pytest.fixture
def place(pinecone_server: PineconeServer, s3_server: S3Server) -> Place:
    pinecone_server.settings.s3_endpoint = s3_server.endpoint_url
    return Place(pinecone_server, s3_server, s3_server.new_bucket(), create(connect(pinecone_server), "imported"))


def parquet(records: Sequence[dict[str, Any]], schema: pa.Schema = SCHEMA) -> pa.Table:
    return pa.Table.from_pylist(list(records), schema=schema)


def many(start: int, stop: int) -> pa.Table:
    vectors = np.random.default_rng(0).normal(size=(stop, DIMENSION)).astype(np.float32)[start:]
    return parquet([{"id": f"{n}", "values": vectors[n - start].tolist()} for n in range(start, stop)])


def test_an_import_fills_namespaces_by_their_folders(place: Place) -> None:
    place.put("animals/0.parquet", parquet(GOOD))
    place.put("animals/more/1.parquet", many(0, 2000))
    place.put("plants/0.parquet", parquet(GOOD))
    place.put("plants/notes.txt", b"not Parquet, not read")
    place.s3.client().put_object(Bucket=place.bucket, Key="exports/one-more/x/0.parquet", Body=b"a neighbour")
    done = place.run("Completed")
    assert (done.status, done.percent_complete, done.records_imported, done.error) == ("Completed", 100, 2004, None)
    assert done.uri == place.uri
    assert done.created_at <= done.finished_at
    assert len(place.ids("animals")) == 2002
    found = place.index.fetch(ids=["a", "b"], namespace="plants").vectors
    assert found["a"].metadata == {"row": 1.0}
    assert not found["b"].metadata
    assert [match.id for match in place.index.query(vector=[1.0, 0.1, 0], top_k=1, namespace="plants").matches] == ["a"]
    objects = place.s3.client().list_objects_v2(Bucket=place.bucket, Prefix="exports/one/")["Contents"]
    billed = sum(item["Size"] for item in objects if item["Key"].endswith(".parquet"))
    assert place.started("1").bytes_read == billed
    assert place.server.log.write_units == 0


def test_the_default_namespace_has_a_folder_too(place: Place) -> None:
    place.put("__default__/0.parquet", parquet(GOOD))
    place.run("Completed")
    assert set(place.index.fetch(ids=["a", "b"]).vectors) == {"a", "b"}
    place.put("__default__/0.parquet", many(0, 5))
    assert 'The namespace "__default__" already exists' in place.run("Failed").error


def test_nothing_is_visible_before_an_import_is_completed(place: Place) -> None:
    place.server.settings.lag = 3600  # of upserts; a completed import can be queried
    place.put("n/0.parquet", parquet(GOOD))
    place.server.hold_imports("Pending")
    id = place.index.start_import(uri=place.uri).id
    assert place.reaches(id, "Pending")
    pending = place.index.describe_import(id)
    assert (pending.status, pending.percent_complete, pending.records_imported) == ("Pending", 0, 0)
    place.server.hold_imports("InProgress")
    assert place.reaches(id, "InProgress")
    held = place.index.describe_import(id)
    assert (held.status, held.percent_complete, held.records_imported, held.finished_at) == ("InProgress", 100, 2, None)
    assert place.index.describe_index_stats().total_vector_count == 0
    assert list(place.index.list_namespaces()) == []
    assert place.index.query(vector=[1.0, 0, 0], top_k=1, namespace="n").matches == []
    place.server.release_imports()
    assert place.reaches(id, "Completed")
    assert place.index.describe_import(id).status == "Completed"
    assert place.ids("n") == ["a", "b"]
    with pytest.raises(ValueError, match="not in Completed"):
        place.server.hold_imports("Completed")


def test_progress_grows_file_by_file(place: Place) -> None:
    for number in range(4):
        place.put(f"n/{number}.parquet", many(10 * number, 10 * number + 10))
    place.server.settings.import_seconds = 0.4
    id = place.index.start_import(uri=place.uri).id
    seen: set[tuple[float, str]] = set()
    while "Completed" not in {status for _, status in seen}:
        now = place.index.describe_import(id)
        seen.add((now.percent_complete, now.status))
    assert {(25.0, "InProgress"), (50.0, "InProgress"), (75.0, "InProgress")} <= seen
    done = place.started(id)
    assert done.finished is not None
    assert (done.finished - done.created).total_seconds() >= 0.4


def test_an_import_is_cancelled_and_then_cannot_end_otherwise(place: Place) -> None:
    place.put("n/0.parquet", parquet(GOOD))
    place.server.hold_imports()
    id = place.index.start_import(uri=place.uri).id
    assert place.reaches(id, "InProgress")
    place.index.cancel_import(id)
    assert place.index.describe_import(id).status == "Cancelled"
    place.server.release_imports()
    done = place.run("Completed")
    place.index.cancel_import(done.id)
    assert place.index.describe_import(done.id).status == "Completed"
    assert place.index.describe_import(id).status == "Cancelled"


def test_imports_are_listed_in_pages(place: Place) -> None:
    place.put("n/0.parquet", parquet(GOOD))
    for expected in ["Completed"] + 11 * ["Failed"]:
        place.run(expected)
    assert [one.id for one in place.index.list_imports(limit=5)] == [str(number) for number in range(1, 13)]
    page = place.index.list_imports_paginated(limit=10)
    assert (len(page), page[0].status, page[9].status) == (10, "Completed", "Failed")
    rest = place.index.list_imports_paginated(limit=10, pagination_token=page.pagination.next)
    assert ([one.id for one in rest], rest.pagination) == (["11", "12"], None)


def test_upserts_into_a_namespace_under_import_are_taken_and_noted(place: Place) -> None:
    place.index.upsert(vectors=rows("before"), namespace="other")
    place.put("n/0.parquet", parquet(GOOD))
    place.server.hold_imports()
    id = place.index.start_import(uri=place.uri).id
    assert place.reaches(id, "InProgress")
    place.index.upsert(vectors=rows("x"), namespace="other")
    assert place.server.imports("imported").disturbed == []
    assert place.index.upsert(vectors=rows("x", "y"), namespace="n").upserted_count == 2
    assert place.server.imports("imported").disturbed == [("n", ("x", "y"))]
    place.server.release_imports()
    assert place.reaches(id, "Completed")
    place.index.upsert(vectors=rows("z"), namespace="n")
    assert len(place.server.imports("imported").disturbed) == 1
    assert place.ids("n") == ["a", "b", "x", "y", "z"]


def test_the_integration_is_noted_and_can_be_required(place: Place) -> None:
    place.put("n/0.parquet", parquet(GOOD))
    place.run("Completed", integration_id="one")
    assert place.started("1").integration_id == "one"
    place.server.settings.integration_id = "two"
    for given in ({}, {"integration_id": "one"}):
        with pytest.raises(pinecone.NotFoundError, match="Storage integration"):
            place.index.start_import(uri=place.uri, **given)
    assert place.index.start_import(uri=place.uri, integration_id="two").id == "2"


# Refused rows and requests.


def damaged() -> bytes:
    """A file with a good footer, whose data are not what they were."""
    written = BytesIO()
    pq.write_table(parquet(GOOD), written, compression="zstd")
    content = bytearray(written.getvalue())
    content[4:200] = bytes(196)
    return bytes(content)


def doubles(record: dict[str, Any]) -> pa.Table:
    return parquet([record], pa.schema([SCHEMA.field("id"), ("values", pa.list_(pa.float64()))]))


@pytest.mark.parametrize(
    ("path", "table", "text"),
    [
        ("n/0.parquet", b"PAR1 no", "Parquet footer could not be parsed. Are you sure this is valid parquet?"),
        ("0.parquet", parquet(GOOD), "No namespace detected. Each file should be nested under a subdirectory"),
        ("ñ/0.parquet", parquet(GOOD), 'namespace must be 1 to 512 ASCII characters, but got "ñ"'),
        ("n/0.parquet", damaged(), 'error reading file "/0.parquet"'),
        ("n/0.csv", b"id,values", "No Parquet files found under s3://"),
        ("n/0.parquet", parquet(GOOD).drop_columns("values"), 'Missing required column "values"'),
        ("n/0.parquet", parquet(GOOD).drop_columns("id"), 'Missing required column "id"'),
        ("n/0.parquet", parquet(GOOD).append_column("version", pa.array(["1", "2"])), 'Unsupported column "version"'),
        (
            "n/0.parquet",
            doubles({"id": "a", "values": [1.0, 0.0, 0.0]}),
            'The expected data type for column "values" is "LIST<FLOAT>", but got "LIST<DOUBLE>"',
        ),
        (
            "n/0.parquet",
            pa.table({"id": [1], "values": pa.array([[1.0, 0, 0]], pa.list_(pa.float32()))}),
            'The expected data type for column "id" is "STRING", but got "INT64"',
        ),
    ],
    ids=lambda value: str(value)[:50].replace("\n", " ") if isinstance(value, str) else "",
)
@pytest.mark.parametrize("mode", ["abort", "continue"])
def test_files_outside_the_format_fail_either_way(
    place: Place, path: str, table: pa.Table | bytes, text: str, mode: str
) -> None:
    place.put(path, table)
    done = place.run("Failed", error_mode=mode)
    assert done.records_imported == 0
    assert text in done.error
    assert "bug" not in done.error
    assert done.finished_at
    assert place.index.describe_index_stats().total_vector_count == 0


BAD_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"values": [1.0, 2.0]}, "Vector dimension 2 does not match the dimension of the index 3"),
    ({"values": [0.0, 0.0, 0.0]}, "at least one non-zero value"),
    ({"values": [float("nan"), 0.0, 0.0]}, "finite"),
    ({"values": None}, "Vector dimension 0"),
    ({"values": GOOD[0]["values"]}, "Duplicate vector values: record bad has the values of record a"),
    ({"id": "a"}, "Duplicate ID: a"),
    ({"id": None}, "non-empty"),
    ({"id": "x" * 513}, "exceeds the limit of 512 characters: got 513"),
    ({"id": "é"}, "ID must be ASCII, but got 'é'"),
    ({"metadata": "{row: 1}"}, "Failed to parse metadata: "),
    ({"metadata": "[1]"}, "Failed to parse metadata: expected an object, got [1]"),
    ({"metadata": '{"a": {"b": 1}}'}, "must be a string, number, boolean or list of strings"),
    ({"metadata": json.dumps({"a": "x" * 41_000})}, "exceeds the limit of 40960 bytes"),
]


@pytest.mark.parametrize(("change", "text"), BAD_ROWS, ids=lambda value: str(value)[:40])
def test_a_bad_row_ends_the_import_or_is_skipped(place: Place, change: dict[str, Any], text: str) -> None:
    bad = {"id": "bad", "values": [1.0, 2.0, 3.0], "metadata": None} | change
    place.put("n/part-0.parquet", parquet([*GOOD, bad]))
    done = place.run("Failed")
    assert done.error.startswith('User error: error reading record (file "/part-0.parquet", row 2): ')
    assert text in done.error
    assert place.index.describe_index_stats().total_vector_count == 0
    done = place.run("Completed", error_mode="continue")
    assert done.records_imported == 2
    assert place.ids("n") == ["a", "b"]


def test_a_namespace_of_which_every_row_is_skipped_fails_the_import(place: Place) -> None:
    place.put("good/0.parquet", parquet(GOOD))
    place.put("bad/0.parquet", parquet([{"id": "a", "values": [1.0]}]))
    done = place.run("Failed", error_mode="continue")
    assert (done.status, done.error) == ("Failed", "No vectors added, all rows were skipped for namespace: bad")
    assert place.index.describe_index_stats().total_vector_count == 0


def test_a_namespace_that_exists_is_not_imported_into(place: Place) -> None:
    place.index.upsert(vectors=rows("x"), namespace="n")
    place.put("n/0.parquet", parquet(GOOD))
    done = place.run("Failed")
    assert place.started(done.id).bytes_read == 0
    expected = 'User error: The namespace "n" already exists. Imports are only allowed into nonexistent namespaces.'
    assert done.error == expected
    assert place.ids("n") == ["x"]
    place.index.delete_namespace(name="n")
    place.run("Completed")


def test_an_absent_bucket_fails_the_import(place: Place) -> None:
    place.bucket = "no-such-bucket"
    done = place.run("Failed")
    assert "s3://no-such-bucket/exports/one could not be listed" in done.error
    assert "NoSuchBucket" in done.error


def test_a_file_that_cannot_be_read_fails_the_import(place: Place) -> None:
    place.put("n/0.parquet", parquet(GOOD))
    place.s3.fail(403, method="GET", key="exports/one/n/")
    done = place.run("Failed")
    assert "exports/one/n/0.parquet could not be read" in done.error


@pytest.mark.parametrize("uri", ["gs://bucket/x", "exports/one", "s3://", ""])
def test_a_uri_that_is_not_on_s3_is_refused_at_once(place: Place, uri: str) -> None:
    with pytest.raises(pinecone.ApiError, match="Invalid import URI") as caught:
        place.index.start_import(uri=uri)
    assert caught.value.status_code == 400
    assert list(place.index.list_imports()) == []


def test_what_the_sdk_cannot_ask_for_is_refused_too(place: Place) -> None:
    base = f"{place.server.url}/ix/imported/bulk/imports"
    bodies: list[dict[str, Any]] = [{}, {"uri": 3}, {"uri": place.uri, "errorMode": {"onError": "skip"}}]
    bodies += [{"uri": place.uri, "errorMode": "continue"}, {"uri": place.uri, "errorMode": 1}]
    for body in bodies:
        assert httpx.post(base, headers=NEW, json=body).status_code == 400
    assert httpx.get(base, headers=NEW, params={"limit": 101}).status_code == 400
    assert httpx.get(base, headers=NEW, params={"paginationToken": "?"}).status_code == 400
    for ask in (place.index.describe_import, place.index.cancel_import):
        with pytest.raises(pinecone.NotFoundError, match="Import 7 not found"):
            ask("7")


def test_an_index_elsewhere_cannot_import_from_s3(place: Place) -> None:
    spec = pinecone.ServerlessSpec(cloud="gcp", region="us-central1")
    index = create(connect(place.server), "elsewhere", spec=spec)
    with pytest.raises(pinecone.ApiError, match="An index on gcp can't import from Amazon S3"):
        index.start_import(uri=place.uri)


def test_without_a_local_s3_nothing_is_asked(place: Place) -> None:
    place.server.settings.s3_endpoint = None
    with pytest.raises(pinecone.ApiError, match="start it with --s3-endpoint"):
        place.index.start_import(uri=place.uri)
