"""Starts a flow from the command line: quiet, with a Prefect API to talk to, and with progress on the terminal."""

import contextlib
import gc
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from pinery.config import Config
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.errors import ConfigError, TerminalError
from pinery.indexes.lance_library import lancedb
from pinery.models.registry import parse, refuse_unknown
from pinery.reports import Check, Diagnosis, Promotion
from pinery.source_kinds import FolderSource
from pinery.sources import open_source
from pinery.variables import PINECONE_KEY, missing_variables, resolved

FLOWS = str(__package__).rpartition(".")[0]
"""The package that the flows are in: `flows`, or where it lies in an installed Pinery."""


def launch(name: str, config: str, overrides: Sequence[str], flags: dict[str, Any]) -> dict[str, Any]:
    """Run the flow `reindex`, `upsert`, `verify` or `backfill` on a config file with overrides; return what it returns.

    Raises what the flow raises; configuration errors before a flow run is made, most before Prefect is even imported.
    """
    settings = _judged(config, overrides)
    if name in ("reindex", "backfill"):
        _refuse_missing_files(settings)
    _quieten()

    def prepare() -> None:
        importlib.import_module(f"{FLOWS}.{name}")
        if settings.index.kind == "lance":
            lancedb()
        refuse_unknown(settings.model)

    with contextlib.ExitStack() as stack:
        with importing():
            import httpx

            from flows.cli.server_process import ServerProcess

            # Prefect alone knows whether an API is configured elsewhere, and takes half a second to import.
            begun = None if os.environ.get("PREFECT_API_URL") else stack.enter_context(ServerProcess())
            from flows.cli.server import prefect_api

            # Prefect's event queue logs beside all of Prefect's own settings.
            logging.getLogger("EventsWorker").setLevel(os.environ["PREFECT_LOGGING_LEVEL"])
            url = stack.enter_context(prefect_api(prepare, begun))
            prepare()
            from flows.outcome import name_config
            from flows.progress import on_terminal
        _refuse_missing_secrets(settings)
        name_config(config)
        flow = getattr(importlib.import_module(f"{FLOWS}.{name}"), name)
        try:
            with on_terminal():
                return cast(dict[str, Any], flow(settings.model_dump(mode="json"), **flags))
        except httpx.HTTPError as error:
            raise TerminalError(
                f"the Prefect API at {url} failed before the run began ({type(error).__name__}: {error})"
            ) from None


def open_corpus(config: str, overrides: Sequence[str]) -> Corpus:
    """Return the corpus of a config file, for a command that runs no flow; Secret blocks may provide secrets."""
    settings = load_config(config, overrides)
    if missing_variables(settings):
        _quieten()
        from flows.secret_blocks import provide_secrets_if_configured

        provide_secrets_if_configured(settings)
    return Corpus(settings)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Collect no garbage inside: imports make objects that stay, and looking through them takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        if "triton" not in sys.modules:  # which complains at the end of the process of what was not collected
            gc.freeze()  # nor among these objects later, at the end of the process for example
        gc.enable()


def diagnose(config: str, overrides: Sequence[str]) -> Diagnosis:
    """Return what is found of all that a run of a config file needs, Prefect included."""
    try:
        settings = _judged(config, overrides)
    except ConfigError as error:
        return Diagnosis(config, (Check("config", "wrong", str(error)),))
    _quieten()
    from flows import doctor
    from pinery.steps.doctor import diagnose

    prefect = doctor.check_prefect(config, settings)  # first, for its Secret blocks may have what the others need
    own = Check("config", "ok", f"corpus {settings.corpus}, model {settings.model.name}, index {settings.index.kind}")
    return Diagnosis(config, (own, *diagnose(settings), *prefect))


def announced(promotion: Promotion) -> Promotion:
    """Tell Prefect what is live now, if an API is configured, and return the change; see flows.announce."""
    if os.environ.get("PREFECT_API_URL"):
        _quieten()
        from flows.announce import announce

        announce(promotion)
    return promotion


def deploy(config: str, overrides: Sequence[str], flags: dict[str, Any]) -> dict[str, Any]:
    """Register a deployment of the flow `reindex` for a config file; see flows.deploy. Returns what was registered."""
    settings = _judged(config, overrides)
    refuse_unknown(settings.model)
    _quieten()
    from flows import deploy

    return deploy.deploy(config, settings, inline=bool(overrides), **flags)


def register_automations() -> dict[str, str]:
    """Register Pinery's automations alone; see flows.automations. Returns what was done about each."""
    _quieten()
    from flows.deploy import register_alone

    return register_alone()


def _judged(config: str, overrides: Sequence[str]) -> Config:
    settings = load_config(config, overrides)
    parse(settings.model.name)
    return settings


def _refuse_missing_files(settings: Config) -> None:
    """Raise ConfigError where the source's folder or its sidecar isn't there, which a run would find at its start."""
    source = settings.source
    if isinstance(source, FolderSource):
        open_source(source).check()
    sidecar = source.sidecar
    if sidecar is not None and "://" not in sidecar and not Path(sidecar).exists():
        raise ConfigError(f"the sidecar {sidecar} does not exist; correct `source.sidecar`")


def _refuse_missing_secrets(settings: Config) -> None:
    """Raise ConfigError for a variable that is not set and has no Secret block either."""
    from flows.secret_blocks import provide_secrets

    provide_secrets(settings)
    for variable in missing_variables(settings):
        if variable == PINECONE_KEY:
            from pinery.indexes.pinecone_session import NO_KEY

            raise ConfigError(NO_KEY)
        resolved(f"${variable}")


def _quieten() -> None:
    # Prefect logs stack traces of failures that the command line shows in one line, and much else.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
