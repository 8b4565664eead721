"""The Ray cluster that a run embeds on: the connection, the code for its nodes, and how many workers they hold."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pinery
from pinery.config import Config
from pinery.cores import cores
from pinery.embedding.local_ray import LocalRay, take_token_mode
from pinery.embedding.places import LEAST_PART_ROWS, NodeShare, Place
from pinery.errors import ConfigError, TransientError
from pinery.run_settings import RunnerSettings

ROUNDING = 1e-6

_own: list[tuple[str | None, LocalRay | None]] = []
"""The address that this process connected to, if it did, and the Ray that it started there."""


@dataclass(frozen=True, slots=True)
class Node:
    """The CPUs and GPUs that a node of the cluster has in all."""

    cpus: float
    gpus: float

    def room(self, runner: RunnerSettings) -> int:
        """Return the number of workers that fit on this node. A GPU is shared, but no worker has parts of two."""
        fits = []
        if runner.num_cpus:
            fits.append(int(self.cpus / runner.num_cpus + ROUNDING))
        if runner.num_gpus >= 1:
            fits.append(int(self.gpus / runner.num_gpus))
        elif runner.num_gpus:
            fits.append(int(self.gpus) * on_device(runner))
        return min(fits)


def on_device(runner: RunnerSettings) -> int:
    """Return the number of workers that share a GPU."""
    return int(1 / runner.num_gpus + ROUNDING) if 0 < runner.num_gpus < 1 else 1


def connect(runner: RunnerSettings) -> Any:
    """Connect to the cluster, unless that is done, and return the module `ray`. `disconnect` ends it.

    Raises ConfigError where Ray is missing or the cluster doesn't suit, TransientError where it doesn't answer.
    """
    ray = _ray()
    if ray.is_initialized() and (not _own or _own[0][0] == runner.address):
        return ray
    disconnect()
    local = None
    if runner.address is None:
        take_token_mode()
        local = LocalRay()
    _own.append((runner.address, local))
    where = runner.address or "this machine"
    try:
        with _SameHandler(), _Code() as code:
            ray.init(
                address=local.address if local else runner.address,
                runtime_env={"working_dir": str(code)},
                log_to_driver=False,
                logging_level="ERROR",
            )
    except ConnectionError as error:
        disconnect()
        raise TransientError(f"the Ray cluster at {where} doesn't answer: {_first_line(error)}") from error
    except (RuntimeError, ValueError) as error:
        disconnect()
        raise ConfigError(f"the Ray cluster at {where} can't be used: {error}") from error
    with contextlib.suppress(AttributeError):
        # Whatever `log_to_driver` says, it prints what befalls nodes to stdout, where `--json` has its object.
        ray._private.worker._worker_logs_enabled = False
    return ray


def disconnect() -> None:
    """End the connection that `connect` made, and the Ray that it started; its actors die."""
    for _, local in _own:
        _ray().shutdown()
        if local is not None:
            local.close()
    _own.clear()


def session() -> object:
    """Return what stands for the connection as it is now; it is another one once it was lost, and None without one."""
    if not _ray().is_initialized():
        return None
    return _own[0] if _own else _ray


def cluster_nodes(runner: RunnerSettings) -> list[Node]:
    """Return the nodes that the cluster has now. Raises what `connect` raises."""
    if runner.address is None:
        _ray()
        return [Node(cores(), _gpus() if runner.num_gpus else 0)]
    found = connect(runner).nodes()
    resources = [node["Resources"] for node in found if node["Alive"]]
    return [Node(one.get("CPU", 0.0), one.get("GPU", 0.0)) for one in resources]


def ray_place(config: Config, items: int, nodes: Sequence[Node]) -> Place:
    """Choose the number of workers for so many items on these nodes.

    Raises ConfigError where this machine is the cluster and a worker doesn't fit on it; others may grow.
    """
    runner = config.runner
    rooms = [node.room(runner) for node in nodes]
    why = f"Ray's nodes have room for {sum(rooms)}: {' + '.join(str(room) for room in rooms if room)}"
    if not sum(rooms):
        why = f"no node of the Ray cluster has {needs(runner)}; waiting for one that has"
        if runner.address is None:
            raise ConfigError(f"this machine has not {needs(runner)} for a worker; correct `runner`")
    if runner.workers != "auto":
        workers, why = runner.workers, f"runner.workers is {runner.workers}"
    else:
        workers = max(1, sum(rooms))
    most = max(1, -(-items // min(LEAST_PART_ROWS, config.run.part_rows)))  # no more than there are parts
    workers = min(workers, most)
    share = NodeShare(max(1, int(runner.num_cpus)), max(1, min(workers, max(rooms, default=1))), on_device(runner))
    device = config.model.device
    if device == "auto":
        device = "cuda" if runner.num_gpus else "cpu"
    return Place((device,) * workers, why, share=share)


def needs(runner: RunnerSettings) -> str:
    """Return in words what a worker takes of its node."""
    both = [(runner.num_cpus, "CPU"), (runner.num_gpus, "GPU")]
    return " and ".join(f"{number:g} {what}{'' if number <= 1 else 's'}" for number, what in both if number)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _ray() -> Any:
    # Else a call after the connection was lost would start a Ray of its own, and wait for actors that aren't there.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"runner.kind: ray needs Ray ({error}); pip install 'pinery[ray]'") from None
    return ray


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


class _Code:
    """A folder with this package and nothing else, for `runtime_env.working_dir`.

    A checkout has images, states and environments beside the package, and an installed package lies among all others:
    Ray would send all of that to each node, or refuse it as too large.
    """

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="pinery-code-")
        package = Path(pinery.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(package, Path(self._folder.name) / package.name, ignore=ignored)
        return Path(self._folder.name)

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


class _SameHandler:
    """Puts back how this process takes SIGTERM, which connecting changes: a run is to end as it always does."""

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGTERM)

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)
