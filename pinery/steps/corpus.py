"""One corpus as its config describes it: its state, source, model and index, each opened on first need."""

from __future__ import annotations

import hashlib
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from pinery.checkpoint.alias import Alias, IndexEntry, read_alias
from pinery.checkpoint.damage import parsing
from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.root import OF_RUN, CorpusPaths, IndexPaths, only, open_store, state_id
from pinery.checkpoint.store import ConflictError, Store
from pinery.config import Config, PineconeSettings
from pinery.errors import BadImageError, ConfigError, ItemDeniedError, MovedError, RefusedError, TransientError
from pinery.indexes.protocol import Index
from pinery.models.protocol import Model
from pinery.models.registry import load, parse
from pinery.records import ModelCard
from pinery.sources import Source, open_source
from pinery.steps.past import StatePast

NAME_LENGTH = 45
SAMPLES, SAMPLE_BYTES, TRIED = 32, 64 << 20, 128
"""Images of a corpus that `auto` is decided on, their bytes, and how many items are tried to find them, at most."""


class Corpus:
    """What every step of a run, and every command, starts from. Raises ConfigError for an unknown model reference."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.paths = CorpusPaths(config.corpus)
        parse(config.model.name)
        self._model: Model | None = None

    @cached_property
    def store(self) -> Store:
        """Where the state lives."""
        return open_store(self.config)

    @cached_property
    def source(self) -> Source:
        """Where the images live."""
        return open_source(self.config.source, past=StatePast(self))

    @cached_property
    def state(self) -> str:
        """The state root's id, made on first use."""
        made = state_id(self.store)
        assert made is not None
        return made

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The parts of this corpus for the config's model."""
        return Checkpoint(self.store, self.paths.parts(self.card.key))

    @cached_property
    def card(self) -> ModelCard:
        """The model card of the config's reference: as stored when it was first resolved, else resolved now."""
        return self.stored_card() or self._resolve_card()

    def stored_card(self) -> ModelCard | None:
        """The card, if the reference was ever resolved for this state; loads no model."""
        found = self.store.read(self._reference)
        if found is None:
            return None
        with parsing(f"{self.store.root}/{self._reference}", "models"):
            return ModelCard(**json.loads(found[0]))

    def model(self) -> Model:
        """The model, loaded on first call. Raises TerminalError if it is no longer the one its card names."""
        card = self.card
        if self._model is None:
            self._model = load(self.config.model, card)
        return self._model

    def alias(self) -> tuple[Alias, str | None]:
        """The alias of this corpus and its tag."""
        return read_alias(self.store, self.paths.alias)

    def refuse_another_model(self) -> tuple[Alias, str | None]:
        """The alias and its tag; RefusedError where the live index was filled with another model than the config's."""
        alias, tag = self.alias()
        live = alias.live
        if live is not None and live.card.key != self.card.key:
            raise RefusedError(
                f"the live index {live.name} of corpus {self.config.corpus} holds vectors of {live.card.name}"
                f" (model key {live.card.key}); the config's model is {self.card.name} ({self.card.key})."
                " Vectors of two models are never mixed: filling a fresh index with another model is a backfill"
                " (`pinery backfill`); until this version has it, give the new model a `corpus` of its own"
            )
        return alias, tag

    @property
    def index_name(self) -> str:
        """The index that the config names, or the default name."""
        settings = self.config.index
        if settings.name:
            return settings.name
        head, tail = settings.prefix, self.card.key
        room = NAME_LENGTH - len(head) - len(tail) - 2
        return f"{head}-{self.card.slug[:room].strip('-')}-{tail}"

    @property
    def entry(self) -> IndexEntry:
        """The index that the config names, as the alias records it."""
        return IndexEntry(self.config.index.kind, self.index_name, self.config.namespace, self.card)

    @property
    def index_paths(self) -> IndexPaths:
        """Where what is recorded of that index lies."""
        return self.paths.index(self.config.index.kind, self.index_name, self.config.namespace)

    @cached_property
    def index(self) -> Index:
        """The index that the config names; nothing is created or reached yet."""
        return self.open_index(self.entry)

    def open_index(self, entry: IndexEntry) -> Index:
        """The index of `entry`."""
        settings, dimension = self.config.index, entry.card.dimension
        if isinstance(settings, PineconeSettings):
            from pinery.indexes.pinecone import PineconeIndex

            upsert = self.config.upsert
            return PineconeIndex(
                settings,
                entry.name,
                entry.namespace,
                dimension,
                max_concurrency=upsert.max_concurrency,
                request_timeout=upsert.request_timeout,
            )
        from pinery.indexes.lance import LanceIndex

        if self.config.is_s3_state:
            raise ConfigError("index.kind lance needs a local `state`; with state on S3, set index.kind to pinecone")
        return LanceIndex(
            settings, Path(self.config.state) / "lance" / entry.name, entry.name, entry.namespace, dimension
        )

    def current_listing(self) -> str | None:
        """The name of the newest listing whose plan passed the guards."""
        names = only(OF_RUN, self.store.names(self.paths.listings))
        return f"{self.paths.listings}/{names[-1]}" if names else None

    @property
    def _reference(self) -> str:
        settings = self.config.model
        decisive = [settings.name, settings.sha256, settings.precision, settings.decode]
        digest = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:8]
        words = "".join(c if c.isalnum() and c.isascii() else "-" for c in settings.name)[-60:].strip("-")
        return f"models/{words}-{digest}.json"

    def _resolve_card(self) -> ModelCard:
        # On a thread that ends: one that has computed keeps OpenMP's threads. Beside the runner's, where streams have
        # several cores each, they are more than there are cores, and then all of them sleep at each of a network's
        # layers instead of waiting awake.
        with ThreadPoolExecutor(1, "card") as own:
            limit = self.config.run.max_pixels
            model = own.submit(load, self.config.model, samples=self._samples, max_pixels=limit).result()
        try:
            self.store.replace(self._reference, json.dumps(asdict(model.card), indent=2).encode(), None)
        except (ConflictError, TransientError):
            stored = self.stored_card()
            if stored is None:
                raise TransientError(f"{self._reference} can't be written, or vanished again; run again") from None
            return stored  # whose `auto` may have been decided otherwise on another machine
        self._model = model
        return model.card

    def _samples(self) -> list[bytes]:
        """The first images' bytes, for what the model leaves to `auto`."""
        from pinery.imaging.decode import pixels_needed  # Pillow; most commands read no image

        found: list[bytes] = []
        fault: TransientError | None = None
        for item in itertools.islice(self.source.list_items(), TRIED):
            try:
                data = self.source.fetch(item.uri, item.version, self.config.run.max_bytes)
            except (BadImageError, MovedError, ItemDeniedError):
                continue
            except TransientError as error:  # the others say as much
                fault = error
                continue
            if pixels_needed(data, self.config.run.max_pixels):
                found.append(data)
            if len(found) == SAMPLES or sum(map(len, found)) > SAMPLE_BYTES:
                break
        if fault is not None and not found:
            raise fault
        return found
