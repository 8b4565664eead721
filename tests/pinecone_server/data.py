"""Operations on the vectors of one index; each method but `records` is one, named as in the request log."""

from typing import Any

from tests.pinecone_server import limits
from tests.pinecone_server.filters import FilterError, Predicate, compile_filter
from tests.pinecone_server.limits import Record
from tests.pinecone_server.settings import Settings
from tests.pinecone_server.shapes import OUT_OF_RANGE, Answer, data_refusal
from tests.pinecone_server.spaces import Spaces, page_of, shown, space_name
from tests.pinecone_server.units import change_units, upsert_units

Body = dict[str, Any]


class DataPlane:
    """The operations on one index's vectors."""

    def __init__(self, dimension: int, metric: str, settings: Settings) -> None:
        self.dimension = dimension
        self.metric = metric
        self._settings = settings
        self.spaces = Spaces(dimension, settings)

    def upsert(self, body: Body) -> Answer:
        """POST /vectors/upsert."""
        vectors = body.get("vectors")
        if not isinstance(vectors, list) or not vectors:
            raise data_refusal("Request must contain at least one vector")
        if len(vectors) > limits.MAX_UPSERT_RECORDS:
            raise data_refusal(f"Request contains {len(vectors)} vectors, the limit is {limits.MAX_UPSERT_RECORDS}")
        records = [limits.check_record(raw, self.dimension, self.metric, self._settings) for raw in vectors]
        name = space_name(body.get("namespace"))
        with self.spaces.lock:
            space = self.spaces.open(name)
            units = upsert_units(records, space.committed)
            answer = self.spaces.write(space, {record.id: record for record in records})
        answer.write_units, answer.upserted = units, [record.id for record in records]
        return _noted(answer, {"upsertedCount": len(records)}, name, len(records))

    def query(self, body: Body) -> Answer:
        """POST /query."""
        top_k = body.get("topK")
        if not isinstance(top_k, int) or not 1 <= top_k <= limits.MAX_TOP_K:
            raise data_refusal(f"topK must be between 1 and {limits.MAX_TOP_K}, got {top_k}")
        if (body.get("vector") is None) == (body.get("id") is None):
            raise data_refusal("Exactly one of vector and id must be given")
        predicate = _predicate(body["filter"]) if body.get("filter") else None
        vector = None if body.get("vector") is None else limits.check_values(body["vector"], self.dimension)
        name = space_name(body.get("namespace"))
        with self.spaces.lock:
            space = self.spaces.seen(name)
            if space is not None and vector is None:
                source = space.visible.get(limits.check_id(body["id"]))
                vector = None if source is None else source.values
            found = [] if space is None or vector is None else space.nearest(vector, self.metric, top_k, predicate)
            headers = {} if space is None else {"x-pinecone-max-indexed-lsn": str(space.indexed_lsn)}
        matches = [
            {"id": record.id, "score": score}
            | {"values": record.values if body.get("includeValues") else []}
            | ({"metadata": record.metadata} if body.get("includeMetadata") and record.metadata else {})
            for record, score in found
        ]
        payload = {"matches": matches, "namespace": shown(body.get("namespace")), "usage": {"readUnits": 1}}
        answer = Answer(payload, headers=headers)
        return _within_result_limit(_noted(answer, answer.payload, name, len(matches)))

    def fetch(self, ids: list[str], namespace: str | None) -> Answer:
        """GET /vectors/fetch."""
        wanted, name = limits.check_ids(ids), space_name(namespace)
        with self.spaces.lock:
            space = self.spaces.seen(name)
            found = [] if space is None else [space.visible[id] for id in wanted if id in space.visible]
        return _noted(Answer(), _vectors(found, namespace), name, len(found))

    def fetch_by_metadata(self, body: Body) -> Answer:
        """POST /vectors/fetch_by_metadata."""
        size = limits.check_page(body.get("limit"), limits.MAX_METADATA_PAGE, limits.MAX_PAGE)
        predicate, name = _predicate(_wanted_filter(body)), space_name(body.get("namespace"))
        with self.spaces.lock:
            space = self.spaces.seen(name)
            ids = [] if space is None else [i for i in space.sorted_ids() if predicate(space.visible[i].metadata)]
            page, after = page_of(ids, size, body.get("paginationToken"))
            found = [] if space is None else [space.visible[id] for id in page]
        return _within_result_limit(_noted(Answer(), _vectors(found, body.get("namespace")) | after, name, len(found)))

    def delete(self, body: Body) -> Answer:
        """POST /vectors/delete."""
        given = [key for key in ("ids", "deleteAll", "filter") if body.get(key)]
        if len(given) != 1:
            raise data_refusal("Exactly one of ids, deleteAll and filter must be given")
        name = space_name(body.get("namespace"))
        ids = limits.check_ids(body["ids"]) if given == ["ids"] else []
        predicate = _predicate(body["filter"]) if given == ["filter"] else None
        with self.spaces.lock:
            space = self.spaces.existing(name)
            if predicate is not None:
                ids = [record.id for record in space.passing(predicate)]
            elif not ids:
                ids = list(space.committed)
            gone = [] if body.get("deleteAll") else [space.committed[id] for id in ids if id in space.committed]
            answer = self.spaces.write(space, dict.fromkeys(ids))
        answer.write_units = change_units(gone)
        return _noted(answer, {}, name, len(ids))

    def update(self, body: Body) -> Answer:
        """POST /vectors/update."""
        name, by_filter = space_name(body.get("namespace")), body.get("filter") is not None
        if by_filter == (body.get("id") is not None):
            raise data_refusal("Exactly one of id and filter must be given")
        if by_filter and (body.get("values") is not None or body.get("setMetadata") is None):
            raise data_refusal("An update by filter takes setMetadata, and no values")
        predicate = _predicate(_wanted_filter(body)) if by_filter else None
        with self.spaces.lock:
            space = self.spaces.existing(name)
            if predicate is not None:
                chosen = space.passing(predicate)
            else:
                chosen = [r for r in (space.committed.get(limits.check_id(body["id"])),) if r is not None]
            changes = {record.id: self._updated(record, body) for record in chosen}
            answer = Answer() if body.get("dryRun") else self.spaces.write(space, changes)
        answer.write_units = 0 if body.get("dryRun") else change_units(chosen)
        return _noted(answer, {"matchedRecords": len(chosen)} if by_filter else {}, name, len(chosen))

    def list(
        self, namespace: str | None, prefix: str | None = None, limit: Any = None, token: str | None = None
    ) -> Answer:
        """GET /vectors/list."""
        size, name = limits.check_page(limit, limits.MAX_PAGE, limits.MAX_PAGE), space_name(namespace)
        with self.spaces.lock:
            space = self.spaces.seen(name)
            ids = [] if space is None else space.sorted_ids()
            ids = [id for id in ids if id.startswith(prefix)] if prefix else ids
            page, after = page_of(ids, size, token)
        payload = {"vectors": [{"id": id} for id in page], "namespace": shown(namespace), "usage": {"readUnits": 1}}
        return _noted(Answer(), payload | after, name, len(page))

    def stats(self, body: Body) -> Answer:
        """POST /describe_index_stats."""
        if body.get("filter"):
            raise data_refusal(
                "Serverless and Starter indexes do not support describing index stats with metadata filtering"
            )
        counts = self.spaces.counts()
        return Answer(
            {
                "namespaces": {name: {"vectorCount": count} for name, count in counts.items()},
                "dimension": self.dimension,
                "indexFullness": 0.0,
                "totalVectorCount": sum(counts.values()),
                "metric": self.metric,
                "vectorType": "dense",
            }
        )

    def records(self, namespace: str) -> dict[str, Record]:
        """The committed records of a namespace by id, for a test to look at."""
        with self.spaces.lock:
            space = self.spaces.seen(space_name(namespace))
            return {} if space is None else dict(space.committed)

    def _updated(self, record: Record, body: Body) -> Record:
        values = body.get("values")
        vector = record.values if values is None else limits.check_values(values, self.dimension)
        added = limits.check_metadata(body.get("setMetadata") or {}, self._settings)
        return Record(record.id, vector, limits.check_metadata(record.metadata | added, self._settings))


def _noted(answer: Answer, payload: Any, namespace: str, records: int) -> Answer:
    answer.payload, answer.namespace, answer.records = payload, namespace, records
    return answer


def _vectors(records: list[Record], asked: str | None) -> dict[str, Any]:
    vectors = {
        record.id: {"id": record.id, "values": record.values}
        | ({"metadata": record.metadata} if record.metadata else {})
        for record in records
    }
    return {"vectors": vectors, "namespace": shown(asked), "usage": {"readUnits": 1}}


def _within_result_limit(answer: Answer) -> Answer:
    size = len(answer.body)
    if size > limits.MAX_RESULT_BYTES:
        text = f"message length too large: found {size} bytes, the limit is: {limits.MAX_RESULT_BYTES} bytes"
        raise data_refusal(text, code=OUT_OF_RANGE)
    return answer


def _wanted_filter(body: Body) -> Any:
    if not body.get("filter"):
        raise data_refusal("filter must not be empty")
    return body["filter"]


def _predicate(filter: Any) -> Predicate:
    try:
        return compile_filter(filter)
    except FilterError as error:
        raise data_refusal(f"Invalid filter: {error}") from None
