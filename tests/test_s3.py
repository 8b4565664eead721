"""S3 for every room: what an answer means whatever the server calls it, and settings that can't work."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError, PartialCredentialsError
from botocore.loaders import JSONFileLoader

from pinery.errors import ConfigError
from pinery.s3 import Fault, connect, meaning
from pinery.settings import S3Access
from tests.s3_server import set_fake_credentials


def answered(status: int, code: str, operation: str = "GetObject") -> Exception:
    said = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, operation)  # type: ignore[arg-type]  # the rest of an answer says nothing here


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (answered(403, "AccessDenied"), Fault.DENIED),
        (answered(403, "403", "HeadObject"), Fault.DENIED),
        (answered(403, "InvalidObjectState"), Fault.ARCHIVED),
        (answered(400, "ExpiredToken"), Fault.BAD_CREDENTIALS),
        (answered(404, "NoSuchKey"), Fault.MISSING),
        (answered(404, "404", "HeadObject"), Fault.MISSING),
        (answered(404, "NoSuchBucket"), Fault.NO_BUCKET),
        (answered(404, "404", "ListObjectsV2"), Fault.NO_BUCKET),
        (answered(404, "NoSuchUpload", "CompleteMultipartUpload"), Fault.PASSING),
        (answered(412, "PreconditionFailed"), Fault.CONFLICT),
        (answered(409, "ConditionalRequestConflict", "PutObject"), Fault.CONFLICT),
        (answered(409, "OperationAborted", "PutObject"), Fault.OTHER),
        (answered(501, "NotImplemented", "PutObject"), Fault.UNSUPPORTED),
        (answered(503, "SlowDown"), Fault.PASSING),
        (answered(400, "RequestTimeout"), Fault.PASSING),
        (answered(502, "BadGateway"), Fault.PASSING),
        (answered(400, "InvalidRequest"), Fault.OTHER),
        (PartialCredentialsError(provider="env", cred_var="key"), Fault.NO_CREDENTIALS),
        (ParamValidationError(report="Invalid bucket name"), Fault.BAD_NAME),
        (EndpointConnectionError(endpoint_url="http://nowhere"), Fault.DISCONNECTED),
    ],
)
def test_an_error_has_one_meaning(error: Exception, fault: Fault) -> None:
    assert meaning(error).fault is fault


def test_the_descriptions_of_the_api_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are megabytes of JSON, and a run makes several clients."""
    set_fake_credentials(monkeypatch)
    first = connect(S3Access(region="us-east-1"), "state s3://b", "state_s3")
    read = list[str]()
    load = JSONFileLoader.load_file

    def noted(self: JSONFileLoader, path: str) -> Any:
        read.append(path)
        return load(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", noted)
    second = connect(S3Access(region="eu-west-1"), "state s3://b", "state_s3")
    assert read == []
    assert (first.meta.region_name, second.meta.region_name) == ("us-east-1", "eu-west-1")


def test_settings_of_the_environment_that_can_not_work_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"state s3://b: no AWS profile 'nobody'.*`state_s3\.profile`"):
        connect(S3Access(profile="nobody"), "state s3://b", "state_s3")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match=r"no AWS profile 'nobody'.*the variable AWS_PROFILE"):
        connect(S3Access(), "state s3://b", "state_s3")
    monkeypatch.delenv("AWS_PROFILE")
    with pytest.raises(ConfigError, match=r"`state_s3\.endpoint_url` must be http"):
        connect(S3Access(endpoint_url="minio:9000"), "state s3://b", "state_s3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio:9000")
    with pytest.raises(ConfigError, match="the variable AWS_ENDPOINT_URL must be http"):
        connect(S3Access(), "state s3://b", "state_s3")
