"""Makes corpora ready to be searched, and tells how far that is: indexes are opened, models loaded for words."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pinery.errors import PineryError

if TYPE_CHECKING:
    from pinery.web.site import ShownCorpus

log = logging.getLogger("pinery.web")
FIRST_WORDS = "a photo"
AGAIN_SECONDS = 10.0
"""After so long, what failed is tried again."""


class Readiness:
    """The state of one corpus. Safe to use from several threads.

    A model with a text tower is loaded before anybody asks, since the box for words invites to; another one once a
    visitor gives an image, which few do.
    """

    def __init__(self, shown: ShownCorpus) -> None:
        self._shown = shown
        self._lock = threading.Lock()
        self._opened, self._loaded = set[str](), set[str]()
        """The keys of the models whose index answered, and of those that were loaded."""
        self._failed: dict[str, str] = {}
        """Why a model could not be loaded, by its key; the empty key stands for the index."""
        self._preparing: threading.Thread | None = None
        self._began = float("-inf")

    def answered(self, model_key: str, with_model: bool) -> None:
        """Note that an index answered, and whether its model was needed for that."""
        with self._lock:
            self._opened.add(model_key)
            if with_model:
                self._loaded.add(model_key)

    def prepare(self, after: float = 0.0) -> None:
        """Have a thread open the live index and load its model, `after` seconds, unless that is under way."""
        with self._lock:
            if self._preparing is None or not self._preparing.is_alive():
                self._preparing = threading.Thread(
                    target=self._prepare, args=(after,), name="pinery-prepare", daemon=True
                )
                self._preparing.start()
                self._began = time.monotonic()

    def to_dict(self) -> dict[str, Any]:
        """Return `ready`, the states of `index` and `model`, and `why` where something failed."""
        live = next((one for one in self._shown.targets() if one["role"] == "live"), None)
        if live is None:
            return self._told(True, "none yet", "none yet", None)
        key = live["model_key"]
        with self._lock:
            opened, loaded, failed = key in self._opened, key in self._loaded, dict(self._failed)
            busy = self._preparing is not None and self._preparing.is_alive()
        wanting = not (opened and (loaded or not live["text"]))  # another model went live, or something failed
        if wanting and not busy and (not failed or time.monotonic() - self._began > AGAIN_SECONDS):
            self.prepare()
            busy = True
        index = "open" if opened else ("opening" if busy else "failed")
        model = "loaded" if loaded else ("failed" if key in failed else "loading" if live["text"] else "not needed yet")
        return self._told(opened, index, model, failed.get(key) or failed.get(""))

    def _told(self, ready: bool, index: str, model: str, why: str | None) -> dict[str, Any]:
        return {"corpus": self._shown.name, "ready": ready, "index": index, "model": model, "why": why}

    def _prepare(self, after: float) -> None:
        time.sleep(after)
        shown = self._shown
        live = self._tried("", lambda: next((one for one in shown.targets() if one["role"] == "live"), None))
        if live is None:
            return
        key = live["model_key"]
        if self._tried("", lambda: self._open(live["dimension"])) and live["text"]:
            self._tried(key, lambda: shown.searcher.vector_of(FIRST_WORDS))
            with self._lock:
                if key not in self._failed:
                    self._loaded.add(key)

    def _open(self, dimension: int) -> bool:
        # By numbers, since any item may be one that can't be embedded.
        hits = self._shown.searcher.by_vector([1.0] * dimension, top_k=1)
        self.answered(hits.model_key, False)
        return True

    def _tried(self, what: str, do: Callable[[], Any]) -> Any:
        try:
            found = do()
        except PineryError as error:
            with self._lock:
                self._failed[what] = str(error)
            return None
        except Exception:
            log.exception("corpus %s can't be made ready", self._shown.name)
            with self._lock:
                self._failed[what] = "something went wrong in the server; its log says what"
            return None
        with self._lock:
            self._failed.pop(what, None)
        return found
