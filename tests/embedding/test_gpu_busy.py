"""How busy GPUs are, from what nvidia-smi prints; a script stands in its place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pinery.embedding.gpu_busy import GpuBusy

PRINTS = """#!/bin/sh
echo "$@" > "{told}"
while :; do echo 80; echo 40; echo "[N/A]"; sleep 0.01; done
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "nvidia-smi"
    script.write_text(PRINTS.format(told=tmp_path / "told"))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "told"


def sampled(gpus: list[int]) -> float | None:
    until = time.monotonic() + 30
    with GpuBusy(gpus, 10) as busy:
        while busy.share() is None and time.monotonic() < until:
            time.sleep(0.01)
        assert busy.share(begin=time.time() + 60) is None
    return busy.share()


def test_the_share_is_the_mean_over_samples_and_gpus(told: Path) -> None:
    assert sampled([0, 2]) == pytest.approx(0.6, abs=0.2)
    assert "--id=0,2" in told.read_text()


def test_gpus_are_counted_as_this_process_sees_them(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, 5")
    sampled([1, 0])
    assert "--id=5,GPU-a" in told.read_text()


def test_without_gpus_or_nvidia_smi_nothing_is_told(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with GpuBusy([]) as busy:
        pass
    assert busy.share() is None
    assert not told.exists()
    monkeypatch.setenv("PATH", "/nowhere")
    with GpuBusy([0]) as busy:
        pass
    assert busy.share() is None
