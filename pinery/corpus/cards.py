"""The model card that a config's model reference means in a state: resolved once, and stored."""

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property

from pinery.checkpoint.store import Store
from pinery.config import Config
from pinery.errors import BadImageError, ConflictError, ItemDeniedError, MovedError, TransientError
from pinery.models.protocol import Model
from pinery.models.registry import load
from pinery.parquet.damage import parsing
from pinery.records import ModelCard
from pinery.sources import Source
from pinery.target_settings import ModelSettings

TRIED = 128
"""Items that are tried at most to find images that `auto` is decided on."""


def decisive(settings: ModelSettings) -> list[str | None]:
    """Return those of the settings that decide which card a reference means."""
    return [settings.name, settings.sha256, settings.precision, settings.decode]


class Cards:
    """The card of the config's model reference, and the model behind it. Safe to use from several threads."""

    def __init__(self, store: Store, config: Config, source: Callable[[], Source]) -> None:
        """Open nothing yet; the first images of `source()` decide what the reference leaves to `auto`."""
        self._store, self._config, self._source = store, config, source
        self._model: Model | None = None
        self._lock = threading.Lock()

    @cached_property
    def card(self) -> ModelCard:
        """The card as stored when the reference was first resolved, else resolved now."""
        return self.stored() or self._resolve()

    def stored(self) -> ModelCard | None:
        """Return the card, if the reference was ever resolved for this state; loads no model. Raises DamagedError."""
        found = self._store.read(self._name)
        if found is None:
            return None
        with parsing(f"{self._store.root}/{self._name}", "models"):
            return ModelCard(**json.loads(found[0]))

    def loaded(self, card: ModelCard) -> Callable[[], Model]:
        """Return a function that returns the model with that card, loaded on its first call.

        It raises TerminalError where what is loaded is not the model that the card names.
        """

        def model() -> Model:
            with self._lock:
                if self._model is None or self._model.card != card:
                    self._model = load(self._config.model, card)
                return self._model

        return model

    def resolve_anew(self) -> ModelCard:
        """Return the card that the reference means today, and remember it in the place of the one before."""
        before = self._store.read(self._name)
        self.__dict__.pop("card", None)
        return self._resolve(None if before is None else before[1])

    @property
    def _name(self) -> str:
        settings = self._config.model
        digest = hashlib.sha256(json.dumps(decisive(settings)).encode()).hexdigest()[:8]
        words = "".join(c if c.isalnum() and c.isascii() else "-" for c in settings.name)[-60:].strip("-")
        return f"models/{words}-{digest}.json"

    def _resolve(self, tag: str | None = None) -> ModelCard:
        # A thread that has computed keeps OpenMP's threads for as long as it lives. Beside the runner's they would be
        # more than there are cores, and then all of them sleep at each layer. So the probe runs on a thread that ends.
        with ThreadPoolExecutor(1, "card") as own:
            limit = self._config.run.max_pixels
            model = own.submit(load, self._config.model, samples=self._samples, max_pixels=limit).result()
        try:
            self._store.replace(self._name, json.dumps(asdict(model.card), indent=2).encode(), tag)
        except (ConflictError, TransientError):
            stored = self.stored()
            if stored is None:
                raise TransientError(f"{self._name} can't be written, or vanished again; run again") from None
            return stored  # another machine, which may have decided `auto` otherwise, was first
        self._model = model
        return model.card

    def _samples(self) -> list[bytes]:
        """Return the first images' bytes, for what the reference leaves to `auto`."""
        from pinery.models.samples import take_samples  # brings Pillow; most commands read no image

        faults: list[TransientError] = []
        found = take_samples(self._first_images(faults), self._config.run.max_pixels)
        if faults and not found:
            raise faults[-1]
        return found

    def _first_images(self, faults: list[TransientError]) -> Iterator[bytes]:
        """Yield the bytes of the first items that can be read; `faults` collects why others could not be."""
        source = self._source()
        listed = (row for batch in source.list_batches() for row in batch.select(["uri", "version"]).to_pylist())
        for row in itertools.islice(listed, TRIED):
            try:
                yield source.fetch(row["uri"], row["version"], self._config.run.max_bytes)
            except (BadImageError, MovedError, ItemDeniedError):
                continue
            except TransientError as error:  # the others say as much
                faults.append(error)
