"""A state is tried as a run would use it, and the trial leaves nothing behind."""

import os
import stat
from pathlib import Path

import pytest

from pinery.checkpoint import trial
from pinery.checkpoint.trial import existing, try_folder, try_state
from pinery.config_file import load_config
from pinery.errors import AccessDeniedError, ConfigError, PineryError, TerminalError, TransientError
from tests.corpora import config
from tests.s3_server import S3Server, shut_out_credentials


def snapshot(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_that_can_be_written_passes_and_is_left_as_it_was(tmp_path: Path, made: bool) -> None:
    state = tmp_path / "deep" / "state"
    if made:
        state.mkdir(parents=True)
    before = snapshot(tmp_path)
    try_state(load_config(config(tmp_path, state)))
    assert snapshot(tmp_path) == before


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file is no folder, so .*file/state can't be one; correct `state`"):
        try_folder(tmp_path / "file" / "state", "state")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(AccessDeniedError, match="may not be written by this user"):
        try_folder(tmp_path / "state", "state")


def test_a_place_that_takes_no_files_is_named() -> None:
    with pytest.raises((TerminalError, AccessDeniedError), match=r"/proc can't be written|/proc may not be written"):
        try_folder(Path("/proc/pinery"), "state")


def test_what_exists_is_found_above(tmp_path: Path) -> None:
    assert existing(tmp_path / "a" / "b") == tmp_path
    assert existing(tmp_path) == tmp_path


def on_s3(server: S3Server, bucket: str) -> str:
    return (
        f"corpus: test\nsource: {{kind: folder, path: /x}}\nmodel: descriptor\nindex: {{kind: pinecone}}\n"
        f"state: s3://{bucket}/pre\nstate_s3: {{endpoint_url: '{server.endpoint_url}'}}\n"
    )


def left_in(server: S3Server, bucket: str) -> list[str]:
    return [one["Key"] for one in server.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_bucket_with_conditional_writes_passes_and_is_left_as_it_was(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    try_state(load_config(on_s3(s3_server, bucket)))
    assert s3_server.count("PUT") > 3
    assert left_in(s3_server, bucket) == []


def test_a_server_without_conditional_writes_is_found_and_left_as_it_was(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    s3_server.ignore_conditions("PUT")
    with pytest.raises(ConfigError, match="doesn't honour conditional writes"):
        try_state(load_config(on_s3(s3_server, bucket)))
    assert left_in(s3_server, bucket) == []


@pytest.mark.parametrize(
    ("status", "error"), [(403, AccessDeniedError), (503, TransientError)], ids=["denied", "unavailable"]
)
def test_the_first_error_is_told_whatever_happens_to_the_removal(
    s3_server: S3Server, status: int, error: type[PineryError]
) -> None:
    bucket = s3_server.new_bucket()
    s3_server.fail(status, times=99, method="PUT", key="pre/")
    s3_server.fail(500, times=99, method="DELETE", key="pre/")
    with pytest.raises(error):
        try_state(load_config(on_s3(s3_server, bucket)))


def test_missing_credentials_and_buckets_are_named(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the bucket of state s3://nowhere/pre does not exist"):
        try_state(load_config(on_s3(s3_server, "nowhere")))
    shut_out_credentials(monkeypatch)
    with pytest.raises(AccessDeniedError, match="no usable AWS credentials"):
        try_state(load_config(on_s3(s3_server, "nowhere")))


def test_a_folder_whose_locks_do_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(trial.LocalStore):
        def replace(self, name: str, data: bytes, tag: str | None) -> str:
            self.write(name, data)
            return "same"

    monkeypatch.setattr(trial, "LocalStore", Forgetful)
    with pytest.raises(ConfigError, match="doesn't honour conditional writes"):
        try_folder(tmp_path, "state")
    assert snapshot(tmp_path) == []
