"""A worker process: what fails in it comes out as an error of its own type, and it ends with its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pinery.embedding.worker_process import CONTEXT_BYTES, FILLED, GpuMemory, Room
from pinery.errors import ConfigError
from pinery.steps.embed_part import embed_part
from tests.small_models import squeezenet_weights
from tests.steps.embedding import PROCESSES, listed, opened, workers


def test_what_fails_in_a_worker_fails_the_part_with_its_own_type(images: Path, tmp_path: Path) -> None:
    model = squeezenet_weights(tmp_path)
    options: dict[str, Any] = {"model": model, "runner": PROCESSES}
    with opened(images, tmp_path / "state", **options):
        pass  # the card is stored now; what comes next loads the weights in the worker alone
    Path(model["weights"]).write_bytes(b"other bytes")
    with opened(images, tmp_path / "state", **options) as (run, embedding, _):
        before = workers()
        with pytest.raises(ConfigError, match=r"squeezenet\.pth"):
            embed_part(embedding, listed(run, "part-00000000"))
        assert workers() == before, "the worker is as good as before"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_room_on_a_gpu_counts_what_this_process_took_and_nothing_from_before() -> None:
    earlier = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    memory = GpuMemory("cuda")
    memory.begin()
    model = torch.empty(2 << 30, dtype=torch.uint8, device="cuda")
    free, _ = torch.cuda.mem_get_info()
    assert memory.room(short=False).more == pytest.approx(free * FILLED // (CONTEXT_BYTES + model.nbytes), abs=1)
    assert memory.room(short=True) == Room(0, short=True)
    assert earlier.nbytes < model.nbytes
