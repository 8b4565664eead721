"""The kind of a machine says what decides how fast it embeds."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinery.config_file import load_config
from pinery.cores import cores
from pinery.embedding.machine import gpus, kind_of_machine
from tests.corpora import config


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    gpus.cache_clear()
    yield
    gpus.cache_clear()


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program nvidia-smi that names two GPUs, and what it was asked."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$*" > "$0.asked"\necho "NVIDIA H100"\necho "NVIDIA H100"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def kind(tmp_path: Path, **changes: object) -> str:
    return kind_of_machine(load_config(config(tmp_path, tmp_path, **changes)))


def test_cores_architecture_and_gpus_are_named(tmp_path: Path, two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    plain = f"{cores()} core{'' if cores() == 1 else 's'} ({platform.machine()})"
    assert kind(tmp_path) == f"{plain}, 2 NVIDIA H100"
    assert kind(tmp_path, model={"name": "descriptor", "device": "cpu"}) == plain
    assert kind(tmp_path, runner={"kind": "ray"}) == "a Ray cluster"


@pytest.mark.parametrize(("visible", "asked"), [("", None), ("-1", None), ("1", "--id=1")])
def test_only_the_gpus_that_the_process_sees_count(
    tmp_path: Path, two_gpus: None, monkeypatch: pytest.MonkeyPatch, visible: str, asked: str | None
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus()
    note = tmp_path / "bin" / "nvidia-smi.asked"
    assert (note.read_text().split()[-1] if note.exists() else None) == asked


def test_without_nvidia_smi_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpus() == ()
