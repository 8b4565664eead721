"""Fixtures of the sources' tests."""

from tests.s3_server import s3_server as s3_server
