"""Corpora with something to remove, and what must hold after a prune."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pinery.checkpoint.alias import IndexEntry, write_alias
from pinery.corpus.live import now
from pinery.corpus.progress import Silent
from pinery.reports import Pruning
from pinery.steps.prune import prune
from tests.corpora import paint
from tests.filled import bring, opened

LABELS = ("red", "green", "blue")
NO_GUARDS = {"part_rows": 5, "delete_guard": 1.0, "change_guard": 1.0, "relabel_guard": 1.0}


def pruned(settings: dict[str, Any], *, really: bool = True) -> Pruning:
    """Prune the corpus, or only look."""
    return prune(opened(settings), really=really, progress=Silent())


def change_all(settings: dict[str, Any], turn: int) -> None:
    """Give each image of the folder other bytes."""
    for path in Path(settings["source"]["path"]).iterdir():
        paint(path, path.name.partition("-")[0], 1000 * turn + int(path.stem.partition("-")[2]))


def change_most(settings: dict[str, Any], turn: int) -> None:
    """Give two of three images of the folder other bytes, so that little of each part stays."""
    for at, path in enumerate(sorted(Path(settings["source"]["path"]).iterdir())):
        if at % 3:
            paint(path, path.name.partition("-")[0], 1000 * turn + int(path.stem.partition("-")[2]))


def bring_often(settings: dict[str, Any], times: int) -> None:
    """Bring the index true so often, with nothing to do: older listings leave the newest three."""
    for _ in range(times):
        bring(settings)


def kinds(pruning: Pruning) -> dict[str, int]:
    """How many things of each kind can be removed."""
    return {
        what: sum(one.what == what for one in pruning.removable) for what in {one.what for one in pruning.removable}
    }


def everything(settings: dict[str, Any]) -> dict[str, bytes]:
    """All files of a local state, but for what can be derived again and locks."""
    state = Path(settings["state"])
    files = (path for path in state.rglob("*") if path.is_file() and ".lock" not in path.name)
    return {str(path.relative_to(state)): path.read_bytes() for path in files if ".cache" not in path.parts}


def other_model(settings: dict[str, Any]) -> dict[str, Any]:
    """The same corpus with another model, which makes other vectors."""
    return settings | {"model": {"name": "descriptor", "decode": "scaled"}}


def take_over(settings: dict[str, Any], entry: IndexEntry) -> None:
    """Have the alias say that `entry` is live and what was before is retired, as it is some time after a promotion."""
    corpus = opened(settings)
    alias, tag = corpus.alias()
    assert alias.live is not None
    changed = replace(alias, live=entry, retired=[*alias.retired, replace(alias.live, until=now())])
    write_alias(corpus.store, corpus.paths.alias, changed, tag)


def forget_live(settings: dict[str, Any]) -> IndexEntry:
    """Have the alias know nothing, so that another model can be brought true; return what was live."""
    corpus = opened(settings)
    alias, tag = corpus.alias()
    assert alias.live is not None
    write_alias(corpus.store, corpus.paths.alias, replace(alias, live=None), tag)
    return alias.live


def with_retired_model(settings: dict[str, Any]) -> tuple[dict[str, Any], IndexEntry]:
    """A corpus whose live model took the place of another one, which is retired; return its settings and that entry."""
    bring(settings)
    old = forget_live(settings)
    new = other_model(settings)
    bring(new)
    live = opened(new).alias()[0].live
    assert live is not None
    corpus = opened(new)
    alias, tag = corpus.alias()
    write_alias(corpus.store, corpus.paths.alias, replace(alias, retired=[replace(old, until=now())]), tag)
    return new, old


def copied(settings: dict[str, Any], to: Path) -> dict[str, Any]:
    """The same corpus over a copy of its local state."""
    shutil.copytree(settings["state"], to)
    return settings | {"state": str(to)}


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder."""
    return (path for path in folder.rglob("*") if path.is_file())
