"""A prune killed at any moment: the next one goes on, nothing is embedded again, and the index stays what it was."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.corpora import COLOURS, config, paint
from tests.drills.checks import NONE, Losses, check_fully, embedded_twice, held, run_here
from tests.drills.conftest import Record
from tests.drills.rounds import rounds, times
from tests.filled import bring, opened
from tests.processes import POLL_SECONDS, report, start, write_config
from tests.steps.pruned import NO_GUARDS, bring_often, change_most, with_retired_model

SEED = 20261127
PER_LABEL = 20
RANDOM_MOMENTS = 3
KILLED = "kill -9 of a prune"

Moment = Callable[[], bool]


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A corpus of sixty images of which most changed, with parts of three rows; and a model of it that is retired."""
    folder = tmp_path_factory.mktemp("worn")
    for label in COLOURS:
        for number in range(PER_LABEL):
            paint(folder / "images" / f"{label}-{number}.jpg", label, number)
    made = config(folder / "images", folder / "state", run=NO_GUARDS | {"part_rows": 3})
    new, _ = with_retired_model(made)
    change_most(new, 1)
    bring(new)
    bring_often(new, 2)
    return new


def parts_of(state: Path, key: str) -> set[str]:
    return {path.name for path in (state / "test" / key / "parts").glob("part-*.parquet")}


def moments(state: Path, live: str, retired: str, index: str) -> dict[str, Moment]:
    """The moments to kill a prune that begins now."""
    before, others = parts_of(state, live), parts_of(state, retired)
    alias = (state / "test" / "alias.json").read_bytes()
    return {
        "amid the new parts": lambda: len(parts_of(state, live) - before) >= 2,
        "amid the removal of old parts": lambda: len(before - parts_of(state, live)) >= 5,
        "once the old parts are gone": lambda: len(before - parts_of(state, live)) >= 20,
        "once the retired index is gone": lambda: not (state / "lance" / index).exists(),
        "once the alias forgot it": lambda: (state / "test" / "alias.json").read_bytes() != alias,
        "amid the removal of its checkpoint": lambda: len(others - parts_of(state, retired)) >= 5,
    }


def kill_at(moment: Moment, process: subprocess.Popen[str]) -> bool:
    """Kill the process once the moment has come; False where it ended well before."""
    while not moment():
        if process.poll() is not None:
            assert process.returncode == 0, process.communicate()
            return False
        time.sleep(POLL_SECONDS / 20)
    process.kill()
    process.communicate()
    return True


def check_recovery(path: Path, settings: dict[str, Any], expected: dict[str, Any], between: bool) -> Losses:
    """After a killed prune, a run embeds nothing and another prune ends what was begun."""
    if between:
        done = run_here(path)
        assert (done["embedded"], done["upserted"], done["deleted"], done["verified"]) == (0, 0, 0, True)
    report("prune", str(path), "--yes")
    assert report("prune", str(path))["removable"] == []
    done = run_here(path)
    assert (done["embedded"], done["upserted"], done["deleted"], done["verified"]) == (0, 0, 0, True)
    assert opened(settings).alias()[0].retired == []
    check_fully(path)
    found = held(path)
    lost = sum(found.get(id) != stored for id, stored in expected.items())
    return Losses(lost, len(found.keys() - expected.keys()), len(embedded_twice(path)))


def prune_and_kill(
    worn: dict[str, Any], folder: Path, moment: Callable[[dict[str, Moment]], Moment], between: bool
) -> tuple[bool, Losses]:
    shutil.copytree(worn["state"], folder / "state")
    settings = worn | {"state": str(folder / "state")}
    path = write_config(folder / "config.yaml", settings)
    alias, _ = opened(settings).alias()
    assert alias.live is not None
    expected = held(path)
    known = moments(folder / "state", alias.live.card.key, alias.retired[0].card.key, alias.retired[0].name)
    killed = kill_at(moment(known), start("prune", str(path), "--yes"))
    return killed, check_recovery(path, settings, expected, between)


@pytest.mark.slow
def test_a_prune_killed_amid_its_work_is_gone_on_with(
    worn: dict[str, Any], tmp_path: Path, drill_record: Record
) -> None:
    killed, cost = prune_and_kill(worn, tmp_path, lambda known: known["amid the removal of old parts"], between=True)
    assert killed
    drill_record(KILLED, 1, cost)
    assert cost == NONE


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_each_step_and_at_random_moments(worn: dict[str, Any], tmp_path: Path, drill_record: Record) -> None:
    chooser, kills = Random(SEED), 0
    names = [*moments(Path(worn["state"]), "", "", "")]
    chosen = rounds(range(len(names) + RANDOM_MOMENTS), few=3)
    for at in chosen:
        folder = tmp_path / str(at)
        folder.mkdir()
        until = chooser.uniform(0.8, 2.5)

        def moment(known: dict[str, Moment], at: int = at, until: float = until) -> Moment:
            if at < len(names):
                return known[names[at]]
            end = time.monotonic() + until
            return lambda: time.monotonic() >= end

        killed, cost = prune_and_kill(worn, folder, moment, between=chooser.random() < 0.5)
        kills += killed
        drill_record(KILLED, int(killed), cost)
        assert cost == NONE
    assert kills >= times(3, few=2), "too few prunes were killed for the drill to say anything"
