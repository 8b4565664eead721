"""The store in a bucket, for the files that lie there."""

from tests.checkpoint.conftest import s3_store as s3_store
from tests.s3_server import s3_server as s3_server
