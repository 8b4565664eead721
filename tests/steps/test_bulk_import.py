"""Choice and course of bulk imports; whole runs with imports are tested in tests/flows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.imports import ImportRecord, ImportRecords
from pinery.errors import TerminalError
from pinery.steps.bulk_import import choose_load, import_rows, resume_import
from pinery.steps.embed_part import Attempts, embed_part, open_embedding
from pinery.steps.list_items import list_items
from pinery.steps.make_plan import PlanOptions, make_plan
from tests.corpora import config
from tests.filled import current_listing, holding
from tests.pinecone_server.server import PineconeServer
from tests.s3_server import S3Server


@pytest.fixture
def settings(pinecone_environment: PineconeServer, s3_server: S3Server, images: Path) -> Iterator[dict[str, Any]]:
    """A corpus in a folder, with its state on an S3 that the local Pinecone imports from."""
    pinecone_environment.settings.s3_endpoint = s3_server.endpoint_url
    state_s3 = {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
    state = f"s3://{s3_server.new_bucket()}/pinery"
    index = {"kind": "pinecone", "name": "things"}
    yield config(images, state, index=index, state_s3=state_s3, upsert={"load": "import"})
    pinecone_environment.release_imports()


def test_the_embedded_index_is_never_imported_into(filled: dict[str, Any]) -> None:
    with holding(filled | {"namespace": "fresh"}) as held:
        plan = make_plan(held, current_listing(held), PlanOptions())
        assert choose_load(held, plan, None) == "upsert"
        assert resume_import(held) == 0


def test_an_import_brings_all_rows_once_and_leaves_no_files(
    settings: dict[str, Any], pinecone_environment: PineconeServer
) -> None:
    with holding(settings) as held:
        listing = list_items(held.run)
        plan = make_plan(held, listing.path, PlanOptions())
        assert choose_load(held, plan, None) == "import"
        assert choose_load(held, plan, 3) == "upsert", "a limited run imports nothing"
        with open_embedding(held, Attempts(), plan.rows) as embedding:
            for work in plan.embed:
                embed_part(embedding, work)
        assert import_rows(held, listing.path) == held.imported == 12
        assert pinecone_environment.log.count("upsert") == 0
        [record] = ImportRecords(held.target.store, held.target.recorded_at).all()
        assert (record.state, record.rows) == ("done", 12)
        assert held.target.store.names(f"exports/{record.name}/test") == []
        assert resume_import(held) == 0, "it is over"
        with held.planned(listing.path) as con:
            assert con.execute("SELECT count(*) FROM to_upsert").fetchall() == [(0,)]


def test_an_import_that_pinecone_does_not_know_is_given_up_with_the_way_out(settings: dict[str, Any]) -> None:
    with holding(settings) as held:
        assert held.identity is not None
        records = ImportRecords(held.target.store, held.target.recorded_at)
        name = "20260101T000000000000Z-000001"
        records.write(ImportRecord(name, "s3://b/exports/1", held.identity.incarnation, 3, "777", "ready"))
        with pytest.raises(TerminalError, match=r"import 777 of s3://b/exports/1 failed .* by upserts now"):
            resume_import(held)
        assert [record.state for record in records.all()] == ["failed"]
        assert resume_import(held) == 0, "a failed one is not waited for again"
