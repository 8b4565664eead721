"""Settings: all errors at once, each with its key, its value, what is allowed and the nearest valid key."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pinery.config import Config
from pinery.config_file import load_config
from pinery.config_reference import groups_of, page, schema, takes, unit
from pinery.errors import ConfigError

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"
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


def test_the_default_folder_of_data_sets_is_the_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "cifar.yaml"
    source = {"kind": "torchvision", "datasets": ["CIFAR10"]}
    path.write_text(yaml.safe_dump({**MINIMAL, "source": source}))
    monkeypatch.chdir(tmp_path / "configs")
    found: Any = load_config("cifar.yaml").source
    assert found.root == str(tmp_path / "data" / "torchvision")
    with pytest.raises(ConfigError, match=r"source\.root = .* give an absolute one"):
        load_config({**MINIMAL, "source": source})


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


# Suggestions of errors.


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("index.kind=pinecon", "'lance' or 'pinecone' (value 'pinecon'); did you mean `pinecone`?"),
        ("source.kind=foldr", "did you mean `folder`?"),
        ("runner.kind=thread", "(value 'thread'); did you mean `threads`?"),
        ("index={}", "index.kind: is missing; it is `lance` or `pinecone`"),
        ("index=pinecone", "(value 'pinecone'); did you mean `index.kind=pinecone`?"),
        ("run=3", "run: takes keys of its own, not a value (value 3), such as `run.part_rows`"),
        ("delete_guard=0.5", "delete_guard: no such key (value 0.5); did you mean `run.delete_guard`?"),
        ("run.metric=cosine", "run.metric: no such key (value 'cosine'); did you mean `index.metric`?"),
        ("part_row=3", "did you mean `run.part_rows`?"),
        ("kind=lance", "did you mean `source.kind`, `index.kind` or `runner.kind`?"),
        ("source.uri=s3://b", "`source.uri` belongs to kind `s3`, and the kind is `folder`"),
        ("index.cloud=aws", "`index.cloud` belongs to kind `pinecone`, and the kind is `lance`"),
        ("bogus=1", f"bogus: no such key (value 1); allowed: {', '.join(sorted(Config.model_fields))}"),
        ("model.batch=many", "model.batch: input should be `auto` or whole number, 1 or more (images) (value 'many')"),
        ("run.fetch_threads=many", "input should be `auto` or whole number, 1 to 256 (threads) (value 'many')"),
        ("upsert.outage_patience=15m", "input should be number, 0 or more (seconds) (value '15m')"),
        ("upsert.load=import", "upsert.load: import is not possible, because index.kind is not pinecone"),
    ],
)  # fmt: skip
def test_a_slip_is_one_error_that_names_what_was_meant(override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(MINIMAL | {"index": {"kind": "lance"}}, [override])
    assert expected in str(caught.value)
    assert "has 1 error:" in str(caught.value)


@pytest.mark.parametrize("namespace", ["ñandú", "日本", "  "])
def test_a_namespace_that_pinecone_refuses_is_refused_before_anything_is_embedded(namespace: str) -> None:
    made = MINIMAL | {"namespace": namespace}
    assert load_config(made | {"index": {"kind": "lance"}}).namespace == namespace
    with pytest.raises(ConfigError, match="namespace: Pinecone takes ASCII characters"):
        load_config(made | {"index": {"kind": "pinecone"}})


# The reference and the schema for editors.


def test_the_reference_and_the_schema_are_what_the_settings_say() -> None:
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == page(), "run `make docs`"
    assert (ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8") == schema(), "run `make docs`"


def keys() -> dict[str, dict[str, Any]]:
    """Each key of a config by its dotted name and kind, with its schema."""
    return {
        f"{heading}: {name}": node
        for heading, _, group in groups_of(Config.model_json_schema())
        for name, node in group["properties"].items()
    }


@pytest.mark.parametrize("key", keys())
def test_the_reference_tells_all_of_a_key(key: str) -> None:
    node = keys()[key]
    heading, name = key.rsplit(": ", 1)
    rows = [line.split(" | ") for line in page().split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()]
    [row] = [row for row in rows if re.search(rf"^\| `([a-z_0-9]+\.)?{name}`$", row[0])]
    _, default, allowed, _, about = row
    assert default.strip()
    assert allowed.strip()
    assert re.search(r"[a-z].*\. \|$", about), "a sentence"
    if "number" in takes(node):
        assert unit(node), "a number has a unit: give it one of the types such as Seconds in pinery/config.py"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_that_ships_names_the_schema_and_fits_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named
    text = (path.parent / named[1]).read_text(encoding="utf-8")
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), yaml.safe_load(text))


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({}, True),
        ({"model": {"name": "descriptor", "batch": 7}}, True),
        ({"run": {"fetch_threads": "auto"}}, True),
        ({"index": {"kind": "pinecone", "cloud": "gcp"}}, True),
        ({"index": {"kind": "lance", "cloud": "gcp"}}, False),
        ({"index": {"kind": "pinecon"}}, False),
        ({"run": {"part_rows": 0}}, False),
        ({"delete_guard": 0.5}, False),
        ({"source": {"kind": "s3", "path": "x"}}, False),
    ],
    ids=str,
)
def test_editors_and_runs_agree_on_a_config(changes: dict[str, Any], valid: bool) -> None:
    data = MINIMAL | changes
    fits = jsonschema.validators.validator_for(yaml.safe_load(schema()))(yaml.safe_load(schema())).is_valid(data)
    try:
        load_config(data)
    except ConfigError:
        assert not valid
    else:
        assert valid
    assert fits == valid


OF_OTHERS = ("apiVersion:", "envFrom:", "pull:")
"""The beginnings of what pages show of Kubernetes' and Prefect's files, which have keys of their own."""


@pytest.mark.parametrize("name", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_every_key_that_a_page_shows_exists(name: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    known = {key.rpartition(": ")[2] for key in keys()}
    for block in (one for one in blocks if not one.startswith(OF_OTHERS)):
        assert set(names_in(yaml.safe_load(block))) <= known


def names_in(data: Any) -> list[str]:
    """Each key of nested mappings, but for those that a sidecar's columns are named by."""
    if not isinstance(data, dict):
        return []
    return [name for key, value in data.items() for name in (key, *([] if key == "sidecar_types" else names_in(value)))]


def test_the_readmes_config_loads(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [block] = [block for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "corpus:" in block]
    (tmp_path / "shoes.yaml").write_text(block)
    assert load_config(tmp_path / "shoes.yaml").index.kind == "pinecone"
