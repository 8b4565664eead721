"""Small real weights for tests that need a torchvision model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
import torchvision


def squeezenet_weights(folder: Path) -> dict[str, Any]:
    """Model settings of a squeezenet1_1 with random weights, saved into `folder`."""
    path = folder / "squeezenet.pth"
    torch.manual_seed(7)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": "torchvision:squeezenet1_1", "weights": str(path), "sha256": digest, "precision": "fp32"}
