"""The disk of the state fills up amid a run: one clear line, exit 1, and the same command goes on later."""

import contextlib
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pinery.records import Stored
from tests.corpora import config
from tests.drills.checks import NONE, Losses, check_failure, check_fully, ledger_files, losses, parts
from tests.drills.conftest import Record
from tests.pinecone_server.server import PineconeServer
from tests.processes import POLL_SECONDS, report, start, wait_until, write_config

MEBIBYTE = 1 << 20
DISK = 64 * MEBIBYTE
FULL: dict[str, Callable[[Path], bool]] = {
    "listing": lambda state: (state / "state.json").exists(),
    "embedding": lambda state: any(state.glob(".scratch/test/*/*/part-*.parquet")),
    "publishing": lambda state: len(parts(state)) >= 5,
    "upserting": lambda state: len(ledger_files(state)) >= 3,
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 64 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "drill", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk; the drill with a limit on file sizes stands in for it")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def keep_full(disk: Path, process: subprocess.Popen[str]) -> Path:
    """A file that takes all the room that is left, and all that is freed, until the process has ended."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        while process.poll() is None:
            for size in (MEBIBYTE, 4096):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass
            time.sleep(POLL_SECONDS)
    return path


def check_recovery(path: Path, state: Path, undisturbed: dict[str, Stored]) -> Losses:
    """Once there is room, the same command goes on from the published parts, and nothing is lost."""
    for name in parts(state):
        [part] = state.glob(f"test/*/parts/{name}")
        assert pq.read_table(part).num_rows == 5
    published = parts(state)
    assert report("run", str(path))["verified"]
    assert published.items() <= parts(state).items()
    check_fully(path)
    assert losses(path, undisturbed) == NONE
    return NONE


@pytest.mark.parametrize("moment", [pytest.param(name, marks=pytest.mark.slow) for name in FULL])
def test_a_disk_that_is_full(
    moment: str,
    many_images: Path,
    small_disk: Path,
    tmp_path: Path,
    pinecone_environment: PineconeServer,
    undisturbed: dict[str, Stored],
    drill_record: Record,
) -> None:
    state = small_disk / "state"
    path = write_config(tmp_path / "config.yaml", config(many_images, state, index={"kind": "pinecone"}))
    process = start("run", str(path))
    wait_until(lambda: FULL[moment](state), process)
    filler = keep_full(small_disk, process)
    check_failure(process, "No space left on device|database or disk is full", "make room", seconds=100)
    filler.unlink()
    drill_record("the disk is full", 1, check_recovery(path, state, undisturbed))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits a process from outside")
def test_files_that_may_not_grow(config_file: Path, undisturbed: dict[str, Stored], drill_record: Record) -> None:
    state = config_file.parent / "state"
    process = start("run", str(config_file))
    wait_until(lambda: len(parts(state)) >= 5, process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))
    check_failure(
        process, "File too large|disk I/O error", "make room", seconds=100
    )  # the second is all that SQLite tells
    drill_record("files may not grow", 1, check_recovery(config_file, state, undisturbed))
