"""Looks at all that a run of a corpus needs, one thing after the other; changes nothing lasting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pinery.addresses import without_secrets
from pinery.checkpoint.holder import read_holder
from pinery.checkpoint.root import state_id
from pinery.checkpoint.trial import try_state
from pinery.config import Config
from pinery.corpus.corpus import Corpus
from pinery.errors import ConfigError, DamagedError, PineryError, TransientError
from pinery.records import ModelCard
from pinery.reports import Check
from pinery.source_kinds import TorchvisionSource
from pinery.sources import open_source
from pinery.steps.doctor_index import check_index
from pinery.steps.doctor_machine import check_device, check_disks, check_place, check_weights
from pinery.steps.history import last_run

OK, WARNING, WRONG = "ok", "warning", "wrong"


def diagnose(config: Config) -> Iterator[Check]:
    """Yield what is found, check by check. Raises ConfigError for a model reference that no family takes."""
    corpus = Corpus(config)
    yield judged("source", lambda: _check_source(config))
    state = judged("state", lambda: _check_state(corpus))
    yield state
    card: ModelCard | None = None
    if state.verdict != WRONG:
        try:
            card = corpus.known_card()
        except PineryError as error:
            yield Check("model", WRONG, str(error))
    yield judged("index", lambda: check_index(corpus, card))
    yield from check_disks(config)
    yield judged("weights", lambda: check_weights(config, card))
    yield judged("device", lambda: check_device(config))
    yield judged("runner", lambda: check_place(config))
    if state.verdict != WRONG:  # else both could only say the same again
        yield judged("last run", lambda: _check_last_run(config))
        yield judged("lease", partial(_check_lease, corpus, card))


def judged(name: str, check: Callable[[], Check]) -> Check:
    """Return what a check found; what it raises is wrong, and the message says what to do."""
    try:
        return check()
    except TransientError as error:
        return Check(name, WRONG, str(error), "look whether it is up and can be reached from here, and try again")
    except PineryError as error:
        return Check(name, WRONG, str(error))
    except Exception as error:  # noqa: BLE001  the other checks may tell more of what is wrong
        return Check(name, WRONG, without_secrets(f"{type(error).__name__}: {error}"), "this should not happen")


def _check_source(config: Config) -> Check:
    source = config.source
    if isinstance(source, TorchvisionSource):
        return _check_datasets(source)
    open_source(source).check()
    if source.sidecar is not None and "://" not in source.sidecar and not Path(source.sidecar).is_file():
        raise ConfigError(f"the sidecar {source.sidecar} does not exist; correct `source.sidecar`")
    where = getattr(source, "path", None) or getattr(source, "uri", source.kind)
    return Check("source", OK, f"{where} can be read")


def _check_datasets(source: TorchvisionSource) -> Check:
    """Return whether torchvision's data sets are here; none is downloaded."""
    names = ", ".join(source.datasets)
    offline = open_source(source.model_copy(update={"download": False}))  # which raises where there is no such data set
    try:
        offline.check()
    except ConfigError as error:
        if not source.download:
            raise
        return Check("source", OK, f"{names}: not (wholly) in {source.root} yet; the first run downloads it ({error})")
    return Check("source", OK, f"{names} in {source.root}")


def _check_state(corpus: Corpus) -> Check:
    config = corpus.config
    known = state_id(corpus.store, create=False)
    try_state(config)
    conditional = "honours conditional writes"
    if known is None:
        return Check("state", OK, f"{config.state} can be written and {conditional}; the first run makes the state")
    return Check("state", OK, f"{config.state} can be written and {conditional}; its id is {known}")


def _check_last_run(config: Config) -> Check:
    try:
        report = last_run(config)
    except DamagedError as error:
        return Check("last run", WARNING, str(error))
    if report is None:
        return Check("last run", OK, "none yet", "`pinery run` makes the first one")
    found = f"{report.run}: {report.state}"
    if report.state in ("done", "running"):
        bad = [f"{count:,} {name}" for name in ("quarantined", "rejected") if (count := getattr(report, name))]
        advice = "`pinery status` lists them with reasons" if bad else ""
        return Check("last run", OK, ", ".join((found, *bad)), advice)
    why = f" ({report.error})" if report.error else ""
    verdict = WARNING if report.state == "stopped" else WRONG
    return Check("last run", verdict, found + why, "once its cause is gone, `pinery run` goes on where it stopped")


def _check_lease(corpus: Corpus, card: ModelCard | None) -> Check:
    holder = read_holder(corpus.store, corpus.paths.lease(card.key)) if card else None
    if holder is None:
        return Check("lease", OK, "nobody holds it")
    found = f"run {holder.run} holds it, process {holder.pid} of host {holder.host}"
    return Check("lease", OK, found, "another run is refused meanwhile; --wait has it wait")
