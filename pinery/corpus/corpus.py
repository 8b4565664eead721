"""One corpus as its config describes it: its state, source, listings and alias, each opened on first need."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property

from pydantic import TypeAdapter

from pinery.checkpoint.alias import Alias, IndexEntry, read_alias
from pinery.checkpoint.root import OF_RUN, CorpusPaths, only, open_store, state_id
from pinery.checkpoint.store import Store
from pinery.config import Config
from pinery.corpus.cards import Cards, decisive
from pinery.corpus.past import StatePast
from pinery.corpus.served import Served, served
from pinery.corpus.target import Target
from pinery.errors import RefusedError
from pinery.models.registry import parse
from pinery.records import ModelCard
from pinery.sources import Source, open_source
from pinery.target_settings import IndexSettings, ModelSettings

ENTRY_SETTINGS = ("name", "weights", "sha256", "precision", "decode")
"""The model settings that belong to a target; the others say how a machine computes."""


class Corpus:
    """The start of every command. Raises ConfigError for an unknown model reference.

    The state belongs to all targets of the corpus; what belongs to one of them is in `Target`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.paths = CorpusPaths(config.corpus)
        self._cards: dict[str, Cards] = {}
        self._targets: dict[tuple[str, str], Target] = {}
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
        return self._cards_of(self.config.model)

    def _cards_of(self, settings: ModelSettings) -> Cards:
        key = settings.model_dump_json()
        if key not in self._cards:
            config = self.config.model_copy(update={"model": settings})
            self._cards[key] = Cards(self.store, config, lambda: self.source)
        return self._cards[key]

    def known_card(self) -> ModelCard | None:
        """Return the card of the config's reference, if it was ever resolved; make no state and load no model."""
        if state_id(self.store, create=False) is None:
            return None
        return self._card_in(self.alias()[0]) or self.cards.stored()

    def _card_in(self, alias: Alias) -> ModelCard | None:
        """Return the card of a target that was made with the config's model settings, the live one first."""
        wanted = decisive(self.config.model)
        same = (one for one in alias.entries() if one.model and decisive(ModelSettings(**one.model)) == wanted)
        return next((one.card for one in same), None)

    @property
    def named(self) -> IndexEntry:
        """The target that the config names: its model, and its index or the one with the default name.

        The model's card is resolved now if it never was.
        """
        return self.named_with(self._card_in(self.alias()[0]) or self.cards.card)

    def named_with(self, card: ModelCard) -> IndexEntry:
        """Return the target that the config names, where its model reference means `card`."""
        index, model = self.config.index, self.config.model.model_dump(include=set(ENTRY_SETTINGS))
        return IndexEntry(index.kind, index.name_for(card), self.config.namespace, card, model)

    def serve(self, alias: Alias | None = None) -> Served:
        """Return the targets that a run brings true; see `served`. Raises RefusedError."""
        alias = self.alias()[0] if alias is None else alias
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return served(alias, self.named, at, self.config.corpus)

    def serve_known(self) -> Served | None:
        """Return the targets that a run brings true, as far as that is known without loading a model.

        Returns None before the first run. Raises RefusedError; also where another model is live than the config's,
        which was never used in this state.
        """
        card, alias = self.known_card(), self.alias()[0]
        if card is not None:
            return self.serve(alias)
        if alias.live is None:
            return None
        raise RefusedError(
            f"the live index {alias.live.name} of corpus {self.config.corpus} holds vectors of {alias.live.card.name};"
            f" the config's model {self.config.model.name} was never used in this state: `pinery backfill` fills an"
            " index with it"
        )

    @property
    def target(self) -> Target:
        """The target that a run serves in the first place. Raises RefusedError; see `served`."""
        return self.open_target(self.serve().main)

    def open_target(self, entry: IndexEntry) -> Target:
        """Return a target of this corpus, the same one each time; nothing is created or reached yet."""
        key = (entry.place, entry.card.key)
        if key not in self._targets:
            self._targets[key] = self.open_anew(entry)
        return self._targets[key]

    def open_anew(self, entry: IndexEntry) -> Target:
        """Return a target of this corpus with an index that nobody has reached yet; a loaded model is used again."""
        model = self.settings_of(entry)
        config = self.config.model_copy(update={"model": model, "index": self._index_settings(entry.kind)})
        return Target(config, self.store, self.paths, entry, self._cards_of(model).loaded(entry.card))

    def forget_models_but(self, entries: Iterable[IndexEntry]) -> None:
        """Let go of the loaded models that none of these targets has; whoever holds one of them keeps it."""
        wanted = {self.settings_of(entry).model_dump_json() for entry in entries}
        self._cards = {key: cards for key, cards in self._cards.items() if key in wanted}
        self.__dict__.pop("cards", None)  # which may hold one of them as well

    def _index_settings(self, kind: str) -> IndexSettings:
        """Return the config's settings of an index; of another kind than the config's, those that are its defaults."""
        own = self.config.index
        return own if own.kind == kind else TypeAdapter(IndexSettings).validate_python({"kind": kind})

    def settings_of(self, entry: IndexEntry) -> ModelSettings:
        """Return the settings that load the model of a target, computed where and as the config says."""
        own = self.config.model
        if entry.model is not None:
            return own.model_copy(update=dict(entry.model))
        if (known := self.known_card()) is not None and known.key == entry.card.key:
            return own
        card = entry.card  # of an alias that an earlier version wrote, for a config that names another model
        return ModelSettings(name=card.name, precision=card.precision, decode=card.decoder, device=own.device)

    def alias(self) -> tuple[Alias, str | None]:
        """Return the alias of this corpus and its tag."""
        return read_alias(self.store, self.paths.alias)

    def _model_keys(self) -> list[str]:
        """Return the key of the config's model, and those of all other targets, the live one first."""
        cards = [self.cards.stored(), *(one.card for one in self.alias()[0].entries())]
        return list(dict.fromkeys(card.key for card in cards if card))

    def current_listing(self) -> str | None:
        """Return the name of the newest listing whose plan passed the guards."""
        names = only(OF_RUN, self.store.names(self.paths.listings))
        return f"{self.paths.listings}/{names[-1]}" if names else None
