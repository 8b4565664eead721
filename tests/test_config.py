"""Settings: all errors at once, each with its key, its value, what is allowed and the nearest valid key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pinery.config_file import load_config
from pinery.errors import ConfigError

CONFIGS = Path(__file__).parent.parent / "configs"
MINIMAL: dict[str, Any] = {
    "corpus": "c",
    "source": {"kind": "folder", "path": "/images"},
    "model": "descriptor",
    "state": "/state",
}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_that_ships_is_valid(path: Path) -> None:
    assert load_config(path).corpus


def test_the_guides_config_is_the_guides_job() -> None:
    config = load_config(CONFIGS / "cifar.yaml")
    assert config.source.kind == "torchvision"
    assert config.source.datasets == ["CIFAR10", "CIFAR100"]
    assert config.model.name == "torchvision:squeezenet1_1"
    assert (config.model.precision, config.model.decode, config.model.batch) == ("fp32", "exact", 200)
    assert (config.index.kind, config.index.metric) == ("pinecone", "cosine")


def test_the_apps_config_is_the_apps_job() -> None:
    config = load_config(CONFIGS / "clip-folder.yaml")
    assert (config.namespace, config.source.ids) == ("default", "md5-path")
    assert config.model.name == "clip:openai/clip-vit-base-patch32"


def test_all_errors_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        """
        corpus: "no spaces allowed"
        source: {kind: folder, pth: images}
        model: {name: descriptor, precison: fp32}
        index: {kind: lance, metric: cosin}
        state: here
        run: {part_rows: 0}
        stat: typo
        """
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    text = str(caught.value)
    assert "7 errors" in text
    assert "source.pth: no such key (value 'images'); did you mean `path`?" in text
    assert "source.path: is missing" in text
    assert "model.precison: no such key (value 'fp32'); did you mean `precision`?" in text
    assert "index.metric: input should be 'cosine', 'dotproduct' or 'euclidean' (value 'cosin')" in text
    assert "run.part_rows: input should be greater than or equal to 1 (value 0)" in text
    assert "stat: no such key (value 'typo'); did you mean `state`?" in text
    assert "'no spaces allowed'" in text


def test_relative_paths_are_the_files_and_overrides_the_shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "c.yaml"
    path.write_text("{corpus: c, source: {kind: folder, path: ../images}, model: descriptor, state: s3://bucket/x}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load_config(path).source.path == str(tmp_path / "images")  # type: ignore[union-attr]
    assert load_config(path).state == "s3://bucket/x"
    changed = load_config(path, ["source.path=mine", "state=../there", "run.part_rows=5"])
    assert changed.source.path == str(elsewhere / "mine")  # type: ignore[union-attr]
    assert changed.state == str(tmp_path / "there")
    assert changed.run.part_rows == 5


def test_inline_configs_need_absolute_paths() -> None:
    assert load_config(MINIMAL).namespace == "c"
    with pytest.raises(ConfigError, match=r"relative path, source.path = 'images'"):
        load_config(MINIMAL | {"source": {"kind": "folder", "path": "images"}})


@pytest.mark.parametrize("text", ["- a\n- b", "just words", "{unclosed: [", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        load_config(path)


def test_a_missing_file_and_a_malformed_override_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"dotted\.key=value"):
        load_config(MINIMAL, ["part_rows"])


def test_a_model_can_be_set_whole_or_by_key() -> None:
    assert load_config(MINIMAL, ["model.batch=7"]).model.batch == 7
    assert load_config(MINIMAL, ["model=torchvision:resnet18"]).model.name == "torchvision:resnet18"


def test_weights_need_their_checksum() -> None:
    with pytest.raises(ConfigError, match="sha256"):
        load_config(MINIMAL, ["model.weights=/w.pth"])


@pytest.mark.parametrize("metadata", ["(", "no-named-group"])
def test_a_metadata_regex_must_compile_and_name_groups(metadata: str) -> None:
    with pytest.raises(ConfigError, match=r"source\.metadata"):
        load_config(MINIMAL, [f"source.metadata='{metadata}'"])
