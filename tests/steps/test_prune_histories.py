"""Random histories of runs, changes, prunes and prunes that die: a run embeds only what changed; nothing is lost."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from pinery.checkpoint.store import LocalStore
from pinery.corpus.progress import Silent
from pinery.steps.prune import prune
from tests.corpora import config, paint
from tests.filled import bring, opened, rows_of
from tests.steps.pruned import NO_GUARDS, bring_often, change_most, copied, pruned, with_retired_model


class Died(BaseException):
    """The process ended here."""


class Dying(LocalStore):
    """A store whose process dies before or after one of its writes; its leases are let go of all the same."""

    def __init__(self, root: Path, write: int, after: bool) -> None:
        super().__init__(root)
        self._left, self._after = write, after

    def delete(self, name: str) -> None:
        with_death = self._count()
        if with_death and not self._after:
            raise Died
        super().delete(name)
        if with_death:
            raise Died

    def publish(self, name: str, path: Path) -> None:
        with_death = self._count()
        if with_death and not self._after:
            raise Died
        super().publish(name, path)
        if with_death:
            raise Died

    def _count(self) -> bool:
        self._left -= 1
        return self._left == -1


def dying_prune(settings: dict[str, Any], write: int, after: bool) -> bool:
    """Prune, and die at a write; return whether it came to that."""
    corpus = opened(settings)
    corpus.__dict__["store"] = Dying(Path(settings["state"]), write, after)
    try:
        prune(corpus, really=True, progress=Silent())
    except Died:
        return True
    return False


@pytest.fixture
def worn(images: Path, tmp_path: Path) -> dict[str, Any]:
    """A corpus with dead parts of a live model, and a retired one."""
    made = config(images, tmp_path / "state", run=NO_GUARDS)
    new, _ = with_retired_model(made)
    change_most(new, 1)
    bring(new)
    bring_often(new, 2)
    return new


@pytest.mark.slow
def test_a_prune_that_dies_at_any_write_is_gone_on_with(worn: dict[str, Any], tmp_path: Path) -> None:
    expected = rows_of(worn)
    deaths = 0
    while True:
        settings = copied(worn, tmp_path / f"copy-{deaths}")
        if not dying_prune(settings, deaths, after=bool(deaths % 2)):
            break
        deaths += 1
        corpus = opened(settings)
        unfinished = pruned(settings, really=False).removable
        if corpus.alias()[0].retired:
            assert any(one.what == "index" for one in unfinished), "what was half removed is named"
        if deaths % 4 == 0:  # a run in between, else the prune alone
            report = bring(settings)
            assert (report.embedded, report.upserted, report.verified) == (0, 0, True)
        pruned(settings)
        assert pruned(settings).removable == ()
        report = bring(settings)
        assert (report.embedded, report.upserted, report.verified) == (0, 0, True)
        assert rows_of(settings) == expected
        assert opened(settings).alias()[0].retired == []
    assert deaths > 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_after_any_history_a_run_embeds_only_what_changed(seed: int, images: Path, tmp_path: Path) -> None:
    chooser = Random(seed)
    settings = config(images, tmp_path / "state", run=NO_GUARDS | {"part_rows": chooser.choice([1, 3, 5])})
    bring(settings)
    changed: set[str] = set()
    for turn in range(1, 15):
        event = chooser.choice(["change", "change", "run", "run", "prune", "dying prune"])
        if event == "change":
            for path in chooser.sample(sorted(images.iterdir()), chooser.randint(1, 8)):
                paint(path, path.name.partition("-")[0], 1000 * turn + len(changed))
                changed.add(path.name)
        elif event == "run":
            report = bring(settings)
            assert (report.embedded, report.reused, report.verified) == (len(changed), 0, True), (seed, turn)
            changed.clear()
        elif event == "prune":
            pruned(settings)
        else:
            dying_prune(settings, chooser.randint(0, 8), after=chooser.random() < 0.5)
    assert bring(settings).embedded == len(changed)
    assert len(rows_of(settings)) == 12
    pruned(settings)
    assert bring(settings).embedded == 0
