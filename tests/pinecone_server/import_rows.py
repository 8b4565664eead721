"""The rows of one import: Parquet files under an S3 prefix, read and judged as strictly as the service's docs say."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

import boto3
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.pinecone_server import limits
from tests.pinecone_server.limits import Record
from tests.pinecone_server.settings import Settings
from tests.pinecone_server.shapes import Refused

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

COLUMNS = {"id": "STRING", "values": "LIST<FLOAT>", "metadata": "STRING"}
MAX_NAMESPACES = 10_000


class ImportFailed(Exception):
    """The import can't go on, in either error mode; the text is what `error` tells."""


class RowRefused(Exception):
    """One row is not taken, for the reason in the text."""


@dataclass
class Seen:
    """The ids that a namespace's import has met, also by a hash of their values."""

    ids: set[str] = field(default_factory=set)
    values: dict[bytes, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """One Parquet file of an import: `name` is its path below the namespace's folder."""

    bucket: str
    key: str
    namespace: str
    name: str


def s3_endpoint(settings: Settings) -> str | None:
    """The address of the S3 that imports read, None where none is set."""
    return settings.s3_endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def connect(endpoint: str) -> S3Client:
    """A client of the S3 at `endpoint`, with the environment's keys, or made-up ones where it has none."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "local"),
        aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "local"),
        config=Config(s3={"addressing_style": "path"}),
    )


def list_files(s3: S3Client, uri: str) -> list[File]:
    """The Parquet files of an import; ImportFailed where there are none, or one is in no namespace's folder."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    found: list[File] = []
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            keys = (item["Key"] for item in page.get("Contents", []))
            found += [_placed(bucket, key, prefix) for key in keys if key.endswith(".parquet")]
    except (ClientError, BotoCoreError) as error:
        raise ImportFailed(f"User error: {uri} could not be listed: {error}") from None
    if not found:
        raise ImportFailed(f"No Parquet files found under {uri}")
    if len({file.namespace for file in found}) > MAX_NAMESPACES:
        raise ImportFailed(f"User error: an import takes at most {MAX_NAMESPACES} namespaces")
    return found


def read_file(s3: S3Client, file: File) -> bytes:
    """The content of one file; ImportFailed where it can't be read."""
    try:
        return s3.get_object(Bucket=file.bucket, Key=file.key)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise ImportFailed(f"User error: s3://{file.bucket}/{file.key} could not be read: {error}") from None


def rows(file: File, content: bytes) -> Iterator[tuple[Any, Any, Any]]:
    """The raw rows of a file as id, values and metadata, None for what is absent; ImportFailed where it has another
    format than an import takes.
    """
    try:
        parquet = pq.ParquetFile(BytesIO(content))
    except (pa.ArrowException, OSError):
        text = "Parquet footer could not be parsed. Are you sure this is valid parquet?"
        raise ImportFailed(f'{text} (file "/{file.name}")') from None
    _check_columns(parquet.schema_arrow)
    try:
        for batch in parquet.iter_batches(1024):
            columns = [batch.column(name) if name in batch.schema.names else None for name in COLUMNS]
            for at in range(batch.num_rows):
                id, values, metadata = (None if column is None else column[at].as_py() for column in columns)
                yield id, values, metadata
    except (pa.ArrowException, OSError) as error:
        raise ImportFailed(f'User error: error reading file "/{file.name}": {error}') from None


def judge(row: tuple[Any, Any, Any], dimension: int, metric: str, settings: Settings, seen: Seen) -> Record:
    """The record in a row, noted in `seen`; RowRefused where it is none, or one whose id or values were seen."""
    id, values, text = row
    try:
        metadata = {} if text is None else orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RowRefused(f"Failed to parse metadata: {error}") from None
    if not isinstance(metadata, dict):
        raise RowRefused(f"Failed to parse metadata: expected an object, got {text[:40]}")
    try:
        record = limits.check_record({"id": id, "values": values, "metadata": metadata}, dimension, metric, settings)
    except Refused as refused:
        raise RowRefused(refused.answer.payload["message"]) from None
    if record.id in seen.ids:
        raise RowRefused(f"Duplicate ID: {record.id}")
    same = seen.values.setdefault(hashlib.blake2b(record.values.tobytes(), digest_size=16).digest(), record.id)
    if same != record.id:
        raise RowRefused(f"Duplicate vector values: record {record.id} has the values of record {same}")
    seen.ids.add(record.id)
    return record


def _placed(bucket: str, key: str, prefix: str) -> File:
    namespace, slash, name = key.removeprefix(prefix).partition("/")
    if not slash:
        raise ImportFailed(
            "No namespace detected. Each file should be nested under a subdirectory that names its namespace,"
            f' but got "/{namespace}"'
        )
    if not namespace or not namespace.isascii() or len(namespace) > limits.MAX_ID_LENGTH:
        raise ImportFailed(f'User error: namespace must be 1 to 512 ASCII characters, but got "{namespace}"')
    return File(bucket, key, namespace, name)


def _check_columns(schema: pa.Schema) -> None:
    for name in schema.names:
        if name not in COLUMNS:
            raise ImportFailed(f'Unsupported column "{name}"')
    for name, wanted in COLUMNS.items():
        if name not in schema.names:
            if name == "metadata":
                continue
            raise ImportFailed(f'Missing required column "{name}"')
        found = _type_name(schema.field(name).type)
        if found != wanted:
            raise ImportFailed(f'The expected data type for column "{name}" is "{wanted}", but got "{found}"')


def _type_name(type: pa.DataType) -> str:
    """The name that Parquet has for a type: there, large and dictionary-encoded strings are strings."""
    if pa.types.is_dictionary(type):
        return _type_name(type.value_type)
    if pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type):
        return f"LIST<{_type_name(type.value_type)}>"
    if pa.types.is_string(type) or pa.types.is_large_string(type):
        return "STRING"
    return str(type).upper()
