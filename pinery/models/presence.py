"""Tells whether a model's weights are on this machine, without downloading or loading anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pinery.addresses import without_secrets
from pinery.errors import ConfigError
from pinery.models.reference import Reference
from pinery.models.registry import parse
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings
from pinery.variables import resolved


@dataclass(frozen=True, slots=True)
class Presence:
    """The place of a model's weights, or how they would come."""

    here: bool
    found: str
    advice: str = ""


def presence(settings: ModelSettings, card: ModelCard | None) -> Presence:
    """Return where the weights are; files that are here are compared with the `sha256` that is set, if any.

    Raises ConfigError where the model or its weights file is unknown, or the weights are not the expected ones.
    """
    reference = parse(settings.name)
    if reference.family == "descriptor":
        return Presence(True, "descriptor needs no weights")
    if reference.family == "torchvision":
        return _of_torchvision(reference, settings, card)
    return _of_repo(reference, settings, card)


def _of_torchvision(reference: Reference, settings: ModelSettings, card: ModelCard | None) -> Presence:
    from pinery.models.torchvision import cached_weights, refuse_unknown

    refuse_unknown(reference)
    if settings.weights is not None:
        return _of_file(settings.weights, settings.sha256 or "")
    path, url = cached_weights(reference, card)
    if not path.is_file():
        return Presence(
            False,
            f"not here yet: the first run downloads {url}",
            f"without a network, fetch that file elsewhere and put it at {path}",
        )
    return _judged([path], settings, str(path))


def _of_file(setting: str, sha256: str) -> Presence:
    """Return the presence of a file that `weights` names."""
    from pinery.models.weights import cache_folder, fetch_weights

    address = resolved(setting)
    cached = cache_folder() / sha256
    if "://" in address and not cached.is_file():
        return Presence(False, f"not here yet: the first run downloads {without_secrets(address)}")
    if "://" not in address:
        return Presence(True, f"{fetch_weights(address, sha256)}, with the expected SHA-256")
    from pinery.models.weights import file_sha256

    if file_sha256(cached) != sha256:
        return Presence(
            False, f"the copy {cached} is damaged: the first run downloads {without_secrets(address)} again"
        )
    return Presence(True, f"{cached}, with the expected SHA-256")


def _of_repo(reference: Reference, settings: ModelSettings, card: ModelCard | None) -> Presence:
    from huggingface_hub.errors import HFValidationError

    from pinery.models.hub import cached_folder, weights_files

    if settings.weights is not None:
        raise ConfigError(
            f"`weights` doesn't go with a {reference.family}: model; name a folder instead, as"
            f" `{reference.family}:<folder>`"
        )
    folder: Path | None = Path(reference.name).expanduser()
    if folder is not None and not folder.is_dir():
        if reference.name.startswith((".", "/", "~")):
            raise ConfigError(f"the folder {reference.name} of model {reference} does not exist")
        try:
            folder = cached_folder(reference.name, card.revision if card else "")
        except HFValidationError:
            raise ConfigError(f"{reference.name!r} is no name of a repo on huggingface.co, and no folder") from None
    if folder is None:
        return Presence(
            False,
            f"not here yet: the first run downloads {reference.name} from huggingface.co",
            f"`hf download {reference.name}` fetches it ahead",
        )
    return _judged(weights_files(folder), settings, str(folder))


def _judged(files: list[Path], settings: ModelSettings, where: str) -> Presence:
    """Return the presence of files that are here. Raises ConfigError where their sum is not the expected one."""
    from pinery.models.hub import joint_sha256

    size = sum(file.stat().st_size for file in files)
    if settings.sha256 is None:
        return Presence(True, f"{where} ({size:,} bytes)")
    if (sha256 := joint_sha256(files)) != settings.sha256:
        raise ConfigError(f"the weights in {where} have SHA-256 {sha256}, but {settings.sha256} is expected")
    return Presence(True, f"{where} ({size:,} bytes), with the expected SHA-256")
