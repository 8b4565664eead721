"""Opens a sidecar, which is a local file, or an object on S3 that is copied first."""

import shutil
import tempfile
from pathlib import Path

from pinery.errors import ConfigError, MovedError
from pinery.settings import S3Access
from pinery.source_kinds import SourceBase
from pinery.sources.sidecar import Sidecar


def open_sidecar(settings: SourceBase) -> Sidecar | None:
    """Return the sidecar that the settings name, or None. An S3 API is reached as the source's is.

    Raises ConfigError where it can't be used, AccessDeniedError, TransientError.
    """
    where = settings.sidecar
    if where is None or not where.startswith("s3://"):
        return None if where is None else Sidecar(where, settings.sidecar_types)
    with tempfile.TemporaryDirectory(prefix="pinery-sidecar-") as folder:
        path = Path(folder) / f"sidecar{Path(where).suffix}"
        _download(settings, where, path)
        return Sidecar(path, settings.sidecar_types, name=where)


def _download(settings: SourceBase, uri: str, path: Path) -> None:
    from pinery.sources.bucket import Bucket  # brings boto3, which a local sidecar needn't wait for

    name, _, key = uri.removeprefix("s3://").partition("/")
    bucket = Bucket(name, settings if isinstance(settings, S3Access) else S3Access(), "source.sidecar")
    try:
        with bucket.errors(uri), path.open("wb") as file:
            shutil.copyfileobj(bucket.client.get_object(Bucket=name, Key=key)["Body"], file)
    except MovedError:
        raise ConfigError(f"sidecar {uri} does not exist; correct `source.sidecar`") from None
