"""The doctor's look at this machine: disks, weights, the device, and where a run would embed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pinery.checkpoint.trial import existing
from pinery.config import Config, cache_root
from pinery.cores import cores
from pinery.records import ModelCard
from pinery.reports import Check

GIB = 1 << 30
LITTLE, TOO_LITTLE = 2 * GIB, GIB // 8
"""The free bytes of a disk below which the doctor warns, and below which no run gets far."""
BUSY = GIB
"""The free bytes of a GPU's memory below which something else fills it."""
MANY = 1_000_000
"""The images of a large run, for which a place of work is chosen."""


def check_disks(config: Config) -> Iterator[Check]:
    """Yield whether the disks of the state and of the cache have room."""
    if not config.is_s3_state:
        yield _check_disk("disk of state", Path(config.state), LITTLE, "make room there, or move `state`")
    needed = config.cache_bytes if config.is_s3_state else LITTLE
    advice = "set a smaller `cache_bytes`, make room, or set PINERY_CACHE" if config.is_s3_state else "make room there"
    yield _check_disk("disk of cache", cache_root().absolute(), needed, advice)


def _check_disk(name: str, folder: Path, needed: int, advice: str) -> Check:
    try:
        free = shutil.disk_usage(existing(folder)).free
    except OSError as error:
        return Check(name, "wrong", f"{folder}: {error.strerror or error}", advice)
    found = f"{_size(free)} free at {folder}"
    if free < TOO_LITTLE:
        return Check(name, "wrong", found, advice)
    if free < needed:
        return Check(name, "warning", f"{found}, and {_size(needed)} may be needed", advice)
    return Check(name, "ok", found)


def check_weights(config: Config, card: ModelCard | None) -> Check:
    """Return whether the model's weights are here, or how they would come. Raises ConfigError where they can't."""
    from pinery.models.presence import presence

    found = presence(config.model, card)
    return Check("weights", "ok", found.found, found.advice)


def check_device(config: Config) -> Check:
    """Return the device that computes, and its memory. Raises ConfigError where this machine doesn't have it."""
    import torch

    from pinery.models.device import resolve_device

    device = resolve_device(config.model.device)
    if torch.device(device).type != "cuda":
        return Check("device", "ok", f"{device}: {cores()} cores, {_size(_memory())} of memory")
    free, total = torch.cuda.mem_get_info(torch.device(device))
    found = f"{device}: {torch.cuda.get_device_name(device)}, {_size(free)} of {_size(total)} free"
    if free < BUSY:
        return Check("device", "warning", found, "another process fills its memory; end that one, or set model.device")
    return Check("device", "ok", found)


def check_place(config: Config) -> Check:
    """Return where a large run would embed, and why there."""
    from pinery.embedding.places import choose_place

    place = choose_place(config, MANY)
    where = f"{place.workers} processes" if place.devices else "threads of the run's own process"
    return Check("runner", "ok", f"runner.kind {config.runner.kind} takes {where} for a large run: {place.why}")


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _size(count: int) -> str:
    return f"{count / GIB:,.1f} GiB"
