"""One target of a corpus: an index that a run brings true, with the checkpoint that it is filled from."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property

from pinery.checkpoint.alias import IndexEntry
from pinery.checkpoint.ledger import Ledger, last_epoch
from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.root import CorpusPaths, IndexPaths
from pinery.checkpoint.store import Store
from pinery.config import Config
from pinery.indexes.open_index import open_index
from pinery.indexes.protocol import Index
from pinery.models.protocol import Model
from pinery.parquet.damage import parsing
from pinery.records import Identity, ModelCard

NEVER_WRITTEN = 1 << 30
"""The lease epoch of a ledger that is only read."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record that the state has of an index; the ledger's entries of epochs before `first_epoch` are void."""

    incarnation: str
    first_epoch: int
    marks: tuple[str, ...] = ()
    """The marks that the index may hold, newest first: more than one after a run that died before it left its own."""


class Target:
    """A model's checkpoint and an index of its vectors. It holds no lease, so it only reads what is recorded."""

    def __init__(
        self, config: Config, store: Store, paths: CorpusPaths, entry: IndexEntry, load_model: Callable[[], Model]
    ) -> None:
        self.config, self.store, self.entry = config, store, entry
        self.corpus = config.corpus
        self.paths = paths
        self._load_model = load_model

    @property
    def name(self) -> str:
        """The index' name."""
        return self.entry.name

    @property
    def card(self) -> ModelCard:
        """The card of the model whose vectors the index holds."""
        return self.entry.card

    @property
    def recorded_at(self) -> IndexPaths:
        """The place in the state of what is recorded of the index."""
        return self.paths.index(self.entry.kind, self.entry.name, self.entry.namespace)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The parts of the corpus for the target's model."""
        return Checkpoint(self.store, self.paths.parts(self.card.key))

    @cached_property
    def index(self) -> Index:
        """The index; nothing is created or reached yet."""
        return open_index(self.config, self.entry.name, self.entry.namespace, self.card.dimension)

    def model(self) -> Model:
        """Return the model, loaded on the first call; see `Cards.loaded`."""
        return self._load_model()

    def recorded(self) -> Recorded | None:
        """Return the record that the state has of the index; None if it never wrote to one. Raises DamagedError."""
        found = self.store.read(self.recorded_at.identity)
        if found is None:
            return None
        with parsing(f"{self.store.root}/{self.recorded_at.identity}", "identity"):
            data = json.loads(found[0])
            return Recorded(**data | {"first_epoch": int(data["first_epoch"]), "marks": tuple(data.get("marks", ()))})

    def record(self, recorded: Recorded) -> None:
        """Write the record of the index; only the holder of the target's lease may do that."""
        self.store.write(self.recorded_at.identity, json.dumps(asdict(recorded)).encode())

    def recorded_ledger(self) -> Ledger | None:
        """Return the ledger of the index that the state remembers, to be read; None if it remembers none."""
        recorded = self.recorded()
        return Ledger(self.store, self.recorded_at, NEVER_WRITTEN, recorded.first_epoch) if recorded else None

    def ledger_of(self, found: Identity | None, epoch: int = NEVER_WRITTEN) -> Ledger:
        """Return the ledger of the index that was `found`, to be written under lease `epoch`.

        It is empty where what is recorded is void, which is where the index is gone or is another incarnation.
        """
        recorded = self.recorded()
        # A lease that was deleted by hand starts to count anew; its entries must still come last.
        epoch = max(epoch, last_epoch(self.store, self.recorded_at) + 1)
        if recorded is not None and found is not None and found.incarnation == recorded.incarnation:
            return Ledger(self.store, self.recorded_at, epoch, recorded.first_epoch)
        return Ledger(self.store, self.recorded_at, epoch, epoch)
