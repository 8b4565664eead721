"""Labels are proposed where folders or names show them, and not where they are numbers, cameras or mere names."""

import re

import pytest

from pinery.source_kinds import FolderSource
from pinery.sources.guess_labels import guess_labels
from pinery.sources.metadata import from_parent, from_pattern


def labels(keys: list[str]) -> dict[str, str] | None:
    """The labels that the guess finds, by key, as a listing would."""
    guess = guess_labels(keys)
    if guess is None:
        return None
    how = FolderSource(kind="folder", path="x", metadata=guess.metadata).metadata  # which is checked there
    assert how is not None
    found = {key: from_parent(key) if how == "parent" else from_pattern(key, re.compile(how)) for key in keys}
    assert set(guess.labels) <= {one["label"] for one in found.values() if one}
    return {key: one["label"] for key, one in found.items() if one}


def many(*shapes: str) -> list[str]:
    return [shape.format(number) for shape in shapes for number in range(1, 7)]


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (("cat-{}.jpg", "dog-{}.jpg"), ("cat", "dog")),
        (("red_car_{:03}.png", "bus_{:03}.png"), ("red_car", "bus")),
        (("sub/cat {}.jpg", "sub/dog {}.jpg"), ("cat", "dog")),
        (("cat-{0}ab{0}.jpg", "dog_{0}x.jpg"), ("cat", "dog")),
        (("cat/{}.jpg", "dog/{}.jpg"), ("cat", "dog")),
        (("train/cat/{}.jpg", "val/cat/{}.jpg", "train/dog/{}.jpg"), ("cat", "dog")),
        (("train/cat-{}.jpg", "test/dog-{}.jpg"), ("cat", "dog")),
        (("n01440764/x{}.JPEG", "n01443537/y{}.JPEG"), ("n01440764", "n01443537")),
        (("日本/{}.jpg", "été/{}.jpg"), ("日本", "été")),
        (("chat-noir-{}.jpg", "été-{}.jpg"), ("chat-noir", "été")),
    ],
    ids=str,
)
def test_labels_are_found(shapes: tuple[str, ...], expected: tuple[str, ...]) -> None:
    found = labels(many(*shapes))
    assert found is not None
    assert set(found.values()) == set(expected)
    assert len(found) == 6 * len(shapes)


@pytest.mark.parametrize(
    "shapes",
    [
        (),
        ("{}.jpg",),
        ("cat-{}.jpg",),
        ("IMG_{}.jpg", "DSC_{}.jpg"),
        ("2023/{}.jpg", "2024/{}.jpg"),
        ("00/{}a.jpg", "fe/{}b.jpg"),
        ("3f2a/{}.jpg", "a017/{}.jpg"),
        ("train/{}.jpg", "test/{}.jpg"),
        ("cat-{}.jpg", "{}.jpg"),
    ],
    ids=str,
)
def test_where_there_are_none_none_are_found(shapes: tuple[str, ...]) -> None:
    assert labels(many(*shapes)) is None


def test_names_that_are_all_others_are_no_labels() -> None:
    assert labels([f"{a}{b}-trip.jpg" for a in "abcdef" for b in "xyz"]) is None
    assert labels([f"{name}/cover.jpg" for name in ("anna", "berta", "clara", "dora")]) is None


def test_the_sample_corpus_is_told_as_its_config_has_it() -> None:
    keys = [f"{kind}-{number:02}.jpg" for kind in ("sunset", "city", "forest") for number in range(20)]
    found = labels(keys)
    assert found == {key: from_pattern(key, re.compile("^(?P<label>[^-]+)-"))["label"] for key in keys}
