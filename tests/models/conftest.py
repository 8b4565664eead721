"""The local S3 for the tests of weights files, and one picture that no model is indifferent to."""

import numpy as np
import pytest
from PIL import Image

from tests.s3_server import s3_server as s3_server


@pytest.fixture(scope="session")
def picture():
    values = np.random.default_rng(5).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(values).resize((301, 240), Image.Resampling.BICUBIC)
