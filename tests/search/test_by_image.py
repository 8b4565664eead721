"""A search by image prepares it as the corpus was prepared, so that an image of the corpus finds itself."""

from pathlib import Path

import pytest

from pinery.imaging.scaling import DECODERS
from pinery.search.query import Query, search
from tests.corpora import config
from tests.filled import bring, opened
from tests.imaging.pictures import jpeg, photograph
from tests.small_models import squeezenet_weights


@pytest.mark.parametrize("decoder", DECODERS)
def test_an_image_of_the_corpus_finds_itself_under_every_decoder(decoder: str, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for seed, size in enumerate([(224, 224), (640, 480), (1600, 1200), (1100, 1500)]):
        (images / f"{seed}.jpg").write_bytes(jpeg(photograph(*size, seed)))
    settings = config(images, tmp_path / "state", model={**squeezenet_weights(tmp_path), "decode": decoder})
    bring(settings)
    corpus = opened(settings)
    for path in sorted(images.iterdir()):
        [first, *others] = search(corpus, Query(image=str(path))).matches
        assert first.id == path.name
        assert round(first.score, 4) == 1
        assert all(other.score < first.score for other in others)
