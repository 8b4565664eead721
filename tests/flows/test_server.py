"""The temporary Prefect server: it runs in any folder, and leaves nothing behind; and the check of a configured one."""

import http.server
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli.server import prefect_api
from flows.cli.server_process import ServerProcess
from pinery.errors import TerminalError
from tests.processes import wait_until

CODE = """
import sys
from flows.cli.server import prefect_api
with prefect_api() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """A process that holds a temporary server; works in `folder`, and has its temporary files in `folder/tmp`."""
    (folder / "tmp").mkdir()
    settings = {"PREFECT_API_URL": "", "PREFECT_LOGGING_LEVEL": "CRITICAL", "TMPDIR": str(folder / "tmp")}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", CODE],
        cwd=folder,
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left(folder: Path) -> list[Path]:
    return list((folder / "tmp").glob("pinery-prefect-*"))


@pytest.mark.parametrize("killed", [False, True], ids=["ended", "killed"])
def test_it_ignores_the_users_modules_and_leaves_no_folder(killed: bool, tmp_path: Path) -> None:
    for name in ("flows/__init__.py", "secrets.py", "prefect.py", "uvicorn.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('the user’s own module')")
    process = start(tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    url = process.stdout.readline()
    assert url.startswith("http://127.0.0.1:"), process.communicate()
    assert len(left(tmp_path)) == 1
    if killed:
        process.kill()
        process.wait()
    else:
        process.stdin.close()
        assert process.wait(timeout=30) == 0
    wait_until(lambda: left(tmp_path) == [], seconds=20)


def test_what_fails_meanwhile_ends_the_server_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    children = set(psutil.Process().children())

    def fail() -> None:
        (found,) = set(psutil.Process().children()) - children
        started.append(found)
        raise ImportError("no module named lancedb")

    started: list[psutil.Process] = []
    with (
        temporary_settings({PREFECT_API_URL: None}),
        pytest.raises(ImportError, match="lancedb"),
        prefect_api(meanwhile=fail),
    ):
        pytest.fail("it went on")
    assert not started[0].is_running()
    assert list(tmp_path.glob("pinery-prefect-*")) == []


class Refuses(http.server.BaseHTTPRequestHandler):
    """A server that wants credentials."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_server_that_answers_is_used_whatever_it_answers() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api"
        with temporary_settings({PREFECT_API_URL: url}), prefect_api() as used:
            assert used == url
        server.shutdown()


def test_a_server_that_was_begun_too_early_is_gone_before_the_configured_one_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server, ServerProcess() as begun:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api"
        with temporary_settings({PREFECT_API_URL: url}), prefect_api(begun=begun) as used:
            assert (used, set(psutil.Process().children())) == (url, before)
        server.shutdown()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:9/api", "http://127.0.0.1:9/api"),
        ("http://me:hid@den@127.0.0.1:9/api/?key=hidden", "http://127.0.0.1:9/api"),
        ("me:hidden@localhost:9/api", "localhost:9/api"),
    ],
)
def test_a_server_that_does_not_answer_is_named_without_credentials(url: str, told: str) -> None:
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(TerminalError) as error, prefect_api():
        pass
    assert str(error.value) == f"PREFECT_API_URL={told} does not answer; start that server or unset the variable"
