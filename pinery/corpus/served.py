"""Which indexes a run brings true: the alias says it, and the config only where the alias doesn't know better."""

from collections.abc import Iterable
from dataclasses import dataclass

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Served:
    """The main target of a run, and those that are kept true beside it."""

    main: IndexEntry
    kept: tuple[IndexEntry, ...] = ()
    note: str = ""
    """A line for the user where the config names another target than the live one."""


def served(alias: Alias, named: IndexEntry, at: str, corpus: str) -> Served:
    """Return what a run whose config names `named` brings true at `at` (ISO 8601 in UTC).

    The live target is the main one, also where the config names one that is kept or retired. The live model with an
    index that isn't live is a fresh index, which goes live once it is verified. Raises RefusedError where the config
    names a model that isn't live, or an index that holds another model's vectors.
    """
    live, kept = alias.live, [one for one in alias.kept if one.until > at]
    if live is None or live.same_target(named):
        return Served(named, _beside(named, kept))
    if live.card.key == named.card.key:
        _refuse_a_taken_place(alias, named)
        return Served(named, _beside(named, kept))
    since = next((one for one in (*alias.kept, *reversed(alias.retired)) if one.same_target(named)), None)
    if since is not None:
        was = f"kept until {since.until}" if since.until > at else f"retired since {since.until}"
        note = f"the config names model {named.card.name} in index {named.name}, which is {was}; live is {_words(live)}"
        return Served(live, _beside(live, kept), note)
    start = f"the live index {live.name} of corpus {corpus} holds vectors of {live.card.name} (model key"
    start += f" {live.card.key}); the config's model is {named.card.name} ({named.card.key})"
    if any(one.same_target(named) for one in alias.candidates):
        raise RefusedError(f"{start}, a candidate: `pinery promote CONFIG --index {named.name}` makes it the live one")
    if elsewhere := next((one for one in kept if one.card.key == named.card.key), None):
        raise RefusedError(
            f"{start}, which is kept in index {elsewhere.name}, and not in {named.name}. A fresh index is filled with"
            " the live model alone: set `model:` to that, or leave out index.name"
        )
    raise RefusedError(
        f"{start}. Vectors of two models are never mixed: `pinery backfill` fills an index of its own with the new"
        " model and compares both, or `model:` names the live one again"
    )


def _beside(main: IndexEntry, kept: Iterable[IndexEntry]) -> tuple[IndexEntry, ...]:
    return tuple(one for one in kept if not one.same_place(main))


def _refuse_a_taken_place(alias: Alias, named: IndexEntry) -> None:
    taken = next((one for one in alias.entries() if one.same_place(named) and one.card.key != named.card.key), None)
    if taken is not None:
        raise RefusedError(
            f"index {named.place} holds vectors of {taken.card.name} (model key {taken.card.key}), and the config's"
            f" model is {named.card.name} ({named.card.key}). Set index.name to another name"
        )


def _words(entry: IndexEntry) -> str:
    return f"{entry.card.name} in index {entry.name}"
