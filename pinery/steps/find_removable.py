"""Find what of a corpus can go: what no target of it needs any more; nothing is changed."""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import get_args

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.checkpoint.lease import read_holder
from pinery.checkpoint.root import PART, only
from pinery.corpus.corpus import Corpus
from pinery.corpus.live import now
from pinery.corpus.stored import temporary_folder
from pinery.parquet.damage import parsing
from pinery.planning.nearest import Metric
from pinery.records import MODEL_KEY_LENGTH, ModelCard
from pinery.reports import Removable
from pinery.steps.compact_parts import find_dead_parts
from pinery.steps.compact_rejected import find_rejected
from pinery.steps.drop_retired import Retired, find_retired
from pinery.steps.leftovers import Leftover, find_leftovers, find_staged

MODEL_KEY = re.compile(f"[0-9a-f]{{{MODEL_KEY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class Unused:
    """The checkpoint of a model that no target uses; `entry` stands for it where a lease is taken."""

    entry: IndexEntry
    leftover: Leftover


@dataclass
class Found:
    """All that can go, with the targets under whose leases it does."""

    main: IndexEntry | None = None
    """The live target, or the one that the config names; under its lease goes what belongs to no target."""
    parts: list[tuple[IndexEntry, tuple[Removable, ...]]] = field(default_factory=list)
    rejected: list[tuple[IndexEntry, tuple[Removable, ...]]] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    staged: list[tuple[IndexEntry, Removable]] = field(default_factory=list)
    retired: list[Retired] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)

    @property
    def items(self) -> tuple[Removable, ...]:
        """All of it, in the order in which it goes."""
        compacted = [item for _, items in (*self.parts, *self.rejected) for item in items]
        files = [one.item for one in self.leftovers]
        going = [one.item for one in self.retired if not one.left]
        unused = [one.leftover.item for one in self.unused]
        return (*compacted, *files, *(item for _, item in self.staged), *going, *unused)

    def entries(self) -> Iterator[IndexEntry]:
        """Yield the targets that are changed, in the order in which runs take their leases."""
        if self.main is not None and self.leftovers:
            yield self.main
        yield from (entry for entry, items in (*self.parts, *self.rejected) if items)
        yield from (entry for entry, _ in self.staged)
        yield from (one.entry for one in self.retired if not one.left)
        yield from (one.entry for one in self.unused)


def find_removable(corpus: Corpus, leased: Collection[str] = ()) -> Found:
    """Return all that can go; `leased` are the model keys whose leases the caller holds.

    Raises TransientError where a retired index can't be reached, DamagedError.
    """
    alias = corpus.alias()[0].expired(now())
    main = alias.live or _named(corpus)
    if main is None:
        return Found()  # never run
    found = Found(main, retired=find_retired(corpus, alias))
    users = alias.in_use()
    targets = [corpus.open_target(entry) for entry in users]
    with temporary_folder("prune") as scratch:
        for target in {target.card.key: target for target in reversed(targets)}.values():
            found.parts.append((target.entry, find_dead_parts(corpus, target, scratch)))
        for target in targets:
            found.rejected.append((target.entry, find_rejected(corpus, target, scratch)))
    found.leftovers = find_leftovers(corpus, targets)
    by_key = {entry.card.key: entry for entry in (*users, main)}
    staying = [*users, *(one.entry for one in found.retired if one.left)]
    found.unused = list(_unused(corpus, alias, staying, leased))
    found.staged = [(by_key[key], item) for key, item in find_staged(corpus, by_key).items()]
    return found


def _named(corpus: Corpus) -> IndexEntry | None:
    """Return the target that the config names, if its model was ever resolved."""
    card = corpus.known_card()
    return None if card is None else corpus.named_with(card)


def _unused(corpus: Corpus, alias: Alias, users: Iterable[IndexEntry], leased: Collection[str]) -> Iterator[Unused]:
    """Yield the checkpoints of models that none of these targets uses; none while nothing is live.

    Before anything is live, whatever there is may be about to go live. A run under way that the alias doesn't know of
    yet has a use for its own.
    """
    used = {entry.card.key for entry in users}
    for key in corpus.store.folders(corpus.config.corpus) if alias.live else ():
        if key in used or not MODEL_KEY.fullmatch(key):
            continue
        name = corpus.paths.card(key)
        stored = corpus.store.read(name)
        retired = next((one for one in alias.retired if one.card.key == key), None)
        if stored is None or (retired is None and key not in leased and _is_leased(corpus, key)):
            continue
        with parsing(f"{corpus.store.root}/{name}", "models"):
            card = ModelCard(**json.loads(stored[0]))
        yield Unused(retired or corpus.named_with(card), _whole_checkpoint(corpus, card, key))


def _is_leased(corpus: Corpus, key: str) -> bool:
    return read_holder(corpus.store, corpus.paths.lease(key)) is not None


def _whole_checkpoint(corpus: Corpus, card: ModelCard, key: str) -> Leftover:
    folder, staging = corpus.paths.parts(key), corpus.paths.staging(key)
    sizes, staged = corpus.store.sizes(folder), corpus.store.sizes(staging)
    parts = only(PART, sizes)
    size = sum(sizes[name] for name in parts) + sum(staged.values())
    why = f"{len(parts):,} parts of {card.name}; no live or kept target has this model, and no candidate"
    item = Removable("checkpoint", f"{corpus.config.corpus}/{key}", size, why)
    # By its card the next prune knows a checkpoint that was half removed.
    scores = (corpus.paths.scores(key, metric) for metric in get_args(Metric))
    return Leftover(item, (*(f"{folder}/{name}" for name in parts), *scores, corpus.paths.card(key)))
