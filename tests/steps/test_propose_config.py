"""The first config of a folder runs as it stands, its options are valid once uncommented; nothing is overwritten."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pinery.config import Config
from pinery.config_file import load_config
from pinery.errors import ConfigError
from pinery.reports import Proposal
from pinery.steps.propose_config import corpus_name, propose_config, written
from tests.corpora import jpeg, paint
from tests.filled import bring, opened
from tests.s3_server import S3Server

OPTION = re.compile(r"^( *)# (\w+: .*)$")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def uncommented(text: str) -> list[tuple[str, str]]:
    """Each option of a config, with the text in which it takes the place of the line that it stands in for."""
    lines, found = text.splitlines(), []
    for number, line in enumerate(lines):
        if match := OPTION.match(line):
            indent, option = match.groups()
            key = option.partition(":")[0]
            rest = [one for one in lines if not one.startswith(f"{indent}{key}:")]
            at = number - (len(lines) - len(rest) if f"\n{indent}{key}:" in "\n".join(lines[:number]) else 0)
            found.append((option, "\n".join([*rest[:at], f"{indent}{option}", *rest[at + 1 :]])))
    return found


def loads(text: str, folder: Path) -> Config:
    path = folder / "option.yaml"
    path.write_text(text)
    return load_config(path)


def test_the_config_of_a_folder_runs_as_it_stands(images: Path, here: Path) -> None:
    made = propose_config("images")
    assert (made.config, made.corpus, made.source, made.suffixes) == ("images.yaml", "images", "./images", {".jpg": 12})
    config = load_config("images.yaml")
    assert (config.model.name, config.index.kind, config.state) == ("descriptor", "lance", str(here / ".pinery"))
    assert made.metadata == getattr(config.source, "metadata", None)
    settings: Any = "images.yaml"
    report = bring(settings)
    assert (report.embedded, report.verified) == (12, True)
    [stored] = opened(settings).target.index.fetch(["red-1.jpg"]).values()
    assert stored.metadata == {"label": "red"}


@pytest.mark.parametrize("labelled", [True, False])
def test_each_option_is_valid_once_it_is_uncommented(here: Path, labelled: bool) -> None:
    for number in range(9):
        paint(
            here / "shots" / (f"{'red' if number % 2 else 'blue'}-{number}.jpg" if labelled else f"{number}.jpg"),
            "red",
            1,
        )
    text = Path(propose_config("shots").config).read_text()
    options = uncommented(text)
    keys = {option.partition(":")[0] for option, _ in options}
    assert keys == {"exclude", "version", "model", "index", "state", "state_s3"} | (set() if labelled else {"metadata"})
    plain = load_config("shots.yaml")
    for option, changed in options:
        assert loads(changed, here) != plain, option
    together = "\n".join(OPTION.sub(r"\1\2", line) for line in text.splitlines())
    last = loads(together, here)  # of two lines with one key, the later counts
    assert (last.model.name, last.index.kind, last.is_s3_state) == (
        "clip:openai/clip-vit-base-patch32",
        "pinecone",
        True,
    )


def test_the_config_of_a_prefix_runs_and_its_options_are_valid(here: Path, s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    for label in ("red", "blue"):
        for number in range(4):
            key = f"my photos/{label}/{number}.jpg"
            s3_server.client().put_object(Bucket=bucket, Key=key, Body=jpeg(label, number))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", s3_server.endpoint_url)
        made = propose_config(f"s3://{bucket}/my photos/")
        settings: Any = made.config
        assert bring(settings).upserted == 8
    assert (made.corpus, made.metadata, set(made.labels)) == ("my-photos", "parent", {"red", "blue"})
    config = load_config(made.config)
    assert getattr(config.source, "uri", "") == f"s3://{bucket}/my photos"
    text = Path(made.config).read_text()
    assert f"# state: s3://{bucket}/pinery" in text
    for option, changed in uncommented(text):
        assert loads(changed, here) != config, option


def test_labels_in_folders_and_other_files_are_told(here: Path) -> None:
    for label in ("red", "blue"):
        for number in range(4):
            paint(here / "things" / label / f"{number}.jpg", label, number)
    (here / "things" / "readme.txt").touch()
    made = propose_config("things", "other.yaml")
    assert (made.metadata, set(made.labels), made.left_out, made.complete) == (
        "parent",
        {"red", "blue"},
        {".txt": 1},
        True,
    )
    assert json.loads(json.dumps(made.to_dict()))["config"] == "other.yaml"
    assert not Path("things.yaml").exists()


def test_a_file_that_is_there_is_replaced_only_by_force(images: Path) -> None:
    Path("images.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"images.yaml is there already; --force"):
        propose_config("images")
    assert Path("images.yaml").read_text() == "mine"
    propose_config("images", force=True)
    assert load_config("images.yaml").corpus == "images"


@pytest.mark.parametrize(
    ("where", "out", "words"),
    [
        ("missing", None, "there is no folder missing"),
        ("empty", None, "there is no image in empty, which is empty"),
        ("texts", None, "no image in texts: 2 files left out: .txt 2"),
        ("hidden", None, "no image in hidden: 1 file left out: hidden 1"),
        ("texts/a.txt", None, "is no folder"),
        ("images", "no/such/folder.yaml", "there is no folder"),
        ("images", "empty", "it is a folder"),
        ("https://example.org/images", None, "neither a folder nor an s3:// address"),
        ("s3://", None, "no address of S3"),
        ("s3://me:hidden@bucket/x", None, "has a password in it"),
    ],
    ids=str,
)
def test_what_can_not_be_a_corpus_is_one_clear_line(
    images: Path, here: Path, where: str, out: str | None, words: str
) -> None:
    for name in ("empty", "texts", "hidden"):
        (here / name).mkdir()
    for name in ("texts/a.txt", "texts/b.txt", "hidden/.a.jpg"):
        (here / name).touch()
    with pytest.raises(ConfigError) as error:
        propose_config(where, out)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert "me:hidden" not in str(error.value)
    assert not list(here.glob("*.yaml"))


def test_a_prefix_without_images_is_one_clear_line(
    here: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint_url)
    with pytest.raises(ConfigError, match="there is no image in s3://"):
        propose_config(f"s3://{s3_server.new_bucket()}/none")
    assert not list(here.glob("*.yaml"))


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Pictures", "My-Pictures"), ("été", "ete"), ("日本", "images"), ("2024", "2024-images"),
        ("true", "true-images"), ("1e5", "1e5"), ("lance", "lance-images"), ("state.json", "state.json-images"),
        ("..x..", "x"), ("a" * 200, "a" * 60), ("", "images"), ("bucket/a/b/", "b"), ("0x1F", "0x1F-images"),
    ],
)  # fmt: skip
def test_a_corpus_has_a_name_that_it_can_have(folder: str, name: str) -> None:
    assert corpus_name(folder) == name


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40))
def test_any_folder_can_be_named(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    source = f"./{name}"
    text = written(Proposal("c.yaml", corpus_name(name), source, {}, {}, True, None, (name,)))
    data = yaml.safe_load(text)
    assert data["source"]["path"] == source
    assert data["corpus"] == corpus_name(name)
    assert load_config({**data, "source": {**data["source"], "path": "/x"}, "state": "/y"}).corpus == data["corpus"]


def test_labels_with_odd_characters_break_no_line(here: Path) -> None:
    for label in ("a\nmodel: clip:x", "b: [", "c # {x}"):
        for number in range(4):
            paint(here / "odd" / label / f"{number}.jpg", "red", number)
    made = propose_config("odd", "a\nb.yaml")
    config = load_config(Path(made.config))
    assert (config.model.name, getattr(config.source, "metadata", "")) == ("descriptor", "parent")


@pytest.mark.parametrize("where", ["~x", ".", "../far", "near/er"])
def test_the_config_finds_the_folder_from_where_it_lies(
    here: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "work").mkdir()
    monkeypatch.chdir(here / "work")
    paint(Path(os.path.normpath(here / "work" / where)) / "a.jpg", "red", 1)
    given = f"./{where}" if where.startswith("~") else where
    made = propose_config(given, "c.yaml")
    found = getattr(load_config(made.config).source, "path", "")
    assert Path(found) == Path(given).resolve()
    assert made.source.startswith("/") == where.startswith("~x")


def test_a_folder_whose_name_is_no_unicode_is_refused(here: Path) -> None:
    odd = os.fsdecode(b"x\xff")
    try:
        paint(here / odd / "a.jpg", "red", 1)
    except OSError:
        pytest.skip("this file system takes no such names")
    with pytest.raises(ConfigError, match="no valid Unicode"):
        propose_config(odd, "c.yaml")
    assert not Path("c.yaml").exists()
