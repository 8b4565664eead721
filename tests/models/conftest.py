"""The local S3 for the tests of weights files, an empty Hub cache, and one picture no model is indifferent to."""

import socket

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image


@pytest.fixture(scope="session")
def picture():
    values = np.random.default_rng(5).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(values).resize((301, 240), Image.Resampling.BICUBIC)


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """An empty Hub cache, and no way out."""

    def refuse(*_, **__):
        raise OSError("no network in this test")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path / "hub"
