"""Finds the files of a model repo of the Hugging Face Hub, or of a folder like one, and those that hold its weights."""

import hashlib
import json
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pinery.errors import AccessDeniedError, ConfigError, TerminalError
from pinery.models.reference import Reference
from pinery.models.weights import file_sha256

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
SMALL_FILES = ["*.json", "*.txt", "*.model"]


def repo_folder(reference: Reference, revision: str) -> Path:
    """Return the folder of a model repo's files in the Hub's cache, downloaded if need be; its name is the commit.

    Without a `revision` (a commit) it is the commit that `main` names now or, without a network, the one in the cache.
    Raises ConfigError where there is no such repo or commit, or it is private; AccessDeniedError where the repo is
    gated; and TerminalError where it is not in the cache and can't be downloaded.
    """
    repo = reference.name
    try:
        if revision and (cached := cached_folder(repo, revision)):
            return cached
        wanted = [*SMALL_FILES, "model*.safetensors"]
        folder = Path(snapshot_download(repo, revision=revision or None, allow_patterns=wanted))
        if not _present(folder):
            wanted = [*SMALL_FILES, "pytorch_model*.bin"]
            folder = Path(snapshot_download(repo, revision=folder.name, allow_patterns=wanted))
    except GatedRepoError:
        raise AccessDeniedError(
            f"the repo {repo} is gated: accept its terms on huggingface.co and set HF_TOKEN"
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        reason = type(error).__name__
        raise ConfigError(f"huggingface.co has no {repo!r} at {revision or 'main'} for you ({reason})") from None
    except OSError as error:
        raise TerminalError(_how_to_fetch(reference, revision)) from error
    if not _present(folder):
        raise TerminalError(_how_to_fetch(reference, revision))
    return folder


def cached_folder(repo: str, revision: str) -> Path | None:
    """Return the folder of a repo's files in the Hub's cache, or None where they are not all there.

    Without a `revision` it is the commit that `main` named when it was last asked. Raises as `snapshot_download` does
    for a name that no repo can have.
    """
    try:
        folder = Path(snapshot_download(repo, revision=revision or None, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if _present(folder) else None


def _how_to_fetch(reference: Reference, revision: str) -> str:
    repo = reference.name
    command = f"hf download {repo}" + (f" --revision {revision}" if revision else "")
    cached = f"models--{repo.replace('/', '--')}"
    return (
        f"the model {repo} is not (or not wholly) in {constants.HF_HUB_CACHE}, and huggingface.co can't be reached: "
        f"run `{command}` on a machine with a network and copy {cached} from its cache into this one, "
        f"or save https://huggingface.co/{repo} to a folder and use `{reference.family}:<folder>`"
    )


def _present(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (*SAFETENSORS, *PICKLED))


def weights_files(folder: Path) -> list[Path]:
    """Return the files that transformers loads a model's weights from, of which there may be several.

    They are safetensors, or else a pickled state dict. Raises ConfigError where there are none.
    """
    for whole, index in (SAFETENSORS, PICKLED):
        if (folder / whole).is_file():
            return [folder / whole]
        if (folder / index).is_file():
            names = set(json.loads((folder / index).read_text())["weight_map"].values())
            return [folder / name for name in sorted(names)]
    raise ConfigError(f"{folder} holds no weights; expected {SAFETENSORS[0]}")


def joint_sha256(files: list[Path]) -> str:
    """Return the SHA-256 of a single file; for several files, that of the lines `<sum>  <name>` of sha256sum."""
    sums = [file_sha256(file) for file in files]
    if len(sums) == 1:
        return sums[0]
    lines = "".join(f"{digest}  {file.name}\n" for digest, file in zip(sums, files, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()
