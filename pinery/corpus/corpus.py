"""One corpus as its config describes it: its state, source, listings and alias, each opened on first need."""

from functools import cached_property

from pinery.checkpoint.alias import Alias, IndexEntry, read_alias
from pinery.checkpoint.root import OF_RUN, CorpusPaths, only, open_store, state_id
from pinery.checkpoint.store import Store
from pinery.config import Config
from pinery.corpus.cards import Cards
from pinery.corpus.past import StatePast
from pinery.corpus.target import Target
from pinery.errors import RefusedError
from pinery.models.registry import parse
from pinery.records import ModelCard
from pinery.sources import Source, open_source


class Corpus:
    """The start of every command. Raises ConfigError for an unknown model reference.

    The state belongs to all targets of the corpus; what belongs to one of them is in `Target`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.paths = CorpusPaths(config.corpus)
        parse(config.model.name)

    @cached_property
    def store(self) -> Store:
        """The store that has the state."""
        return open_store(self.config)

    @cached_property
    def source(self) -> Source:
        """The source of the images."""
        return open_source(self.config.source, self.past)

    @cached_property
    def past(self) -> StatePast:
        """The memory that the state has of the corpus' items."""
        return StatePast(self.config, self.store, self.current_listing, self._model_keys)

    @cached_property
    def state_id(self) -> str:
        """The state root's id, made on first use."""
        made = state_id(self.store)
        assert made is not None
        return made

    @cached_property
    def cards(self) -> Cards:
        """The model card that the config's reference means in this state."""
        return Cards(self.store, self.config, lambda: self.source)

    @property
    def card(self) -> ModelCard:
        """The model card of the config's reference, resolved now if it never was."""
        return self.cards.card

    def known_card(self) -> ModelCard | None:
        """Return that card if the reference was ever resolved for this state; make no state and load no model."""
        return None if state_id(self.store, create=False) is None else self.cards.stored()

    @cached_property
    def target(self) -> Target:
        """The target that the config names: its model, and its index or the one with the default name."""
        index, card = self.config.index, self.card
        return self.open_target(IndexEntry(index.kind, index.name_for(card), self.config.namespace, card))

    def open_target(self, entry: IndexEntry) -> Target:
        """Return a target of this corpus; nothing is created or reached yet."""
        return Target(self.config, self.store, self.paths, entry, self.cards.loaded(entry.card))

    def alias(self) -> tuple[Alias, str | None]:
        """Return the alias of this corpus and its tag."""
        return read_alias(self.store, self.paths.alias)

    def refuse_another_model(self) -> tuple[Alias, str | None]:
        """Return the alias and its tag. Raises RefusedError where another model filled the live index."""
        alias, tag = self.alias()
        live = alias.live
        if live is not None and live.card.key != self.card.key:
            raise RefusedError(
                f"the live index {live.name} of corpus {self.config.corpus} holds vectors of {live.card.name}"
                f" (model key {live.card.key}); the config's model is {self.card.name} ({self.card.key})."
                " Vectors of two models are never mixed: give the new model a `corpus` of its own"
            )
        return alias, tag

    def _model_keys(self) -> list[str]:
        """Return the key of the config's model, and that of the live index where it is another."""
        cards = [self.cards.stored(), live.card if (live := self.alias()[0].live) else None]
        return list(dict.fromkeys(card.key for card in cards if card))

    def current_listing(self) -> str | None:
        """Return the name of the newest listing whose plan passed the guards."""
        names = only(OF_RUN, self.store.names(self.paths.listings))
        return f"{self.paths.listings}/{names[-1]}" if names else None
