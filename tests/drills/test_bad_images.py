"""Two thousand broken and odd images in one run: each is in the index, or in quarantine with a reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpora import config, paint
from tests.drills.checks import NONE, Losses, check_fully, embedded_twice, held, run_here
from tests.drills.conftest import Record
from tests.drills.mutants import Mutants
from tests.drills.rounds import at_length
from tests.processes import PINERY, environment, report, write_config

SEED = 20261120
BIG_IMAGES = 8
MAX_GROWTH = 1 << 30
WHOLE = ("misnamed", "animated", "cmyk", "deep", "turned", "palette", "big")
NO_IMAGE = ("zeros", "noise", "bomb_png", "bomb_jpeg", "bomb_gif")


def run_measured(path: Path) -> int:
    """The most memory, in bytes, that a run took which must succeed."""
    process = subprocess.Popen([*PINERY, "run", str(path)], stdout=subprocess.DEVNULL, env=environment())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
@pytest.mark.parametrize("count", [160, pytest.param(2000, marks=[pytest.mark.timeout(600), at_length])])
def test_bad_images_cost_a_row_each(count: int, tmp_path: Path, drill_record: Record) -> None:
    good, bad, mutants = tmp_path / "good", tmp_path / "bad", Mutants(SEED)
    run = {"part_rows": 500, "quarantine_guard": 1.0}
    bad.mkdir()
    for number in range(count):
        paint(good / f"{number}.jpg", "red", number)
    for name, data in mutants.files(count - BIG_IMAGES):
        (bad / name).write_bytes(data)
    for number in range(BIG_IMAGES):
        (bad / f"big-{number}.png").write_bytes(mutants.big())
    usual = run_measured(write_config(tmp_path / "good.yaml", config(good, tmp_path / "usual", run=run)))
    path = write_config(tmp_path / "bad.yaml", config(bad, tmp_path / "state", run=run))
    most = run_measured(path)
    print(f"{count} images: {usual >> 20} MiB for good ones, {most >> 20} MiB for bad ones")
    assert most - usual < MAX_GROWTH

    found, told = held(path), report("status", str(path))
    reasons = {row["id"]: row["reason"] for row in told["quarantined"]}
    files = {file.name for file in bad.iterdir()}
    lost = len(files - found.keys() - reasons.keys())
    cost = Losses(lost, len(found.keys() & reasons.keys()) + len(found.keys() - files), len(embedded_twice(path)))
    drill_record(f"{count:,} broken and odd images", 1, cost)
    assert cost == NONE
    assert all(reasons.values())
    assert [name for name in reasons if name.startswith(WHOLE)] == []
    assert [name for name in found if name.startswith(NO_IMAGE)] == []
    assert all("pixels" in reason for name, reason in reasons.items() if name.startswith("bomb"))
    check_fully(path)
    again = run_here(path)
    assert (again["attempted"], again["embedded"], again["quarantined"]) == (0, 0, len(reasons))
