"""A config holds no secret, and says how it is done; a variable or a Secret block holds it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli.launch import open_corpus
from pinery.config_file import load_config
from pinery.errors import ConfigError, TerminalError
from pinery.models.weights import fetch_weights
from pinery.variables import missing_variables
from tests.corpora import config
from tests.processes import write_config

SIGNED = "https://me:hunter22@host.test/w.pth?X-Amz-Signature=abcdef"
SUM = "0" * 64
VARIABLES = ("PINERY_TEST_WEIGHTS", "PINECONE_API_KEY")


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without these variables, before and after."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    for name in VARIABLES:
        os.environ.pop(name, None)


def with_weights(tmp_path: Path, weights: str) -> dict[str, Any]:
    model = {"name": "torchvision:squeezenet1_1", "weights": weights, "sha256": SUM}
    return config(tmp_path / "images", tmp_path / "state", model=model)


def refusal(given: Any, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(given, overrides)
    assert "hunter22" not in str(error.value)
    assert "abcdef" not in str(error.value)
    return str(error.value)


def test_a_signed_address_is_refused_wherever_it_comes_from(tmp_path: Path) -> None:
    given = with_weights(tmp_path, SIGNED)
    for told in (
        refusal(given),
        refusal(str(write_config(tmp_path / "c.yaml", given))),
        refusal(with_weights(tmp_path, "w.pth") | {"model": "descriptor"}, f"model.weights={SIGNED}"),
    ):
        assert "model.weights has a password or a signature" in told
        assert "write `weights: $WEIGHTS_URL`" in told
        assert "Secret block weights-url" in told


@pytest.mark.parametrize("key", ["source.endpoint_url", "state_s3.endpoint_url", "source.sidecar", "state"])
def test_no_other_address_may_have_one(tmp_path: Path, key: str) -> None:
    assert f"{key} has a password" in refusal(with_weights(tmp_path, "w.pth"), f"{key}={SIGNED}")


@pytest.mark.parametrize("override", ["index.api_key=hunter22", "index={kind: pine, api_key: hunter22}"])
def test_what_stands_under_the_name_of_a_secret_is_not_shown(tmp_path: Path, override: str) -> None:
    refusal(config(tmp_path, tmp_path / "state", index={"kind": "pinecone"}), override)


def test_a_file_that_is_no_yaml_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text('corpus: c\nindex: {api_key: "hunter22\n')
    told = refusal(str(path))
    assert "c.yaml is not YAML: " in told
    assert "line 3" in told


def test_a_config_may_be_text(tmp_path: Path) -> None:
    given = config(tmp_path / "images", tmp_path / "state")
    assert load_config(yaml.safe_dump(given)) == load_config(given)
    assert "the inline config is not YAML" in refusal('{"corpus": "hunter22')
    assert "the inline config has a relative path, state = 'here'" in refusal(yaml.safe_dump(given | {"state": "here"}))


def test_a_variable_stands_for_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for written in ("$PINERY_TEST_WEIGHTS", "${PINERY_TEST_WEIGHTS}"):
        path = write_config(tmp_path / "c.yaml", with_weights(tmp_path, written))
        settings = load_config(path)
        assert settings.model.weights == written
        assert missing_variables(settings) == ["PINERY_TEST_WEIGHTS"]
    words = "PINERY_TEST_WEIGHTS, which is not set; export it, or save it as the Prefect Secret block pinery-test-w"
    with pytest.raises(ConfigError, match=words):
        fetch_weights("$PINERY_TEST_WEIGHTS", SUM)
    monkeypatch.setenv("PINERY_TEST_WEIGHTS", str(tmp_path / "none.pth"))
    assert missing_variables(settings) == []
    with pytest.raises(ConfigError, match=r"none\.pth does not exist"):
        fetch_weights("$PINERY_TEST_WEIGHTS", SUM)


def test_a_command_without_a_flow_takes_secrets_from_blocks_too(
    tmp_path: Path, save_secret: Callable[[str, str], None]
) -> None:
    given = with_weights(tmp_path, "$PINERY_TEST_WEIGHTS") | {"index": {"kind": "pinecone"}}
    path = str(write_config(tmp_path / "c.yaml", given))
    open_corpus(path, [])
    assert [name for name in VARIABLES if name in os.environ] == [], "no block, no variable"
    save_secret("pinecone-api-key", "pcsk_from_a_block")
    save_secret("pinery-test-weights", SIGNED)
    open_corpus(path, [])
    assert (os.environ["PINECONE_API_KEY"], os.environ["PINERY_TEST_WEIGHTS"]) == ("pcsk_from_a_block", SIGNED)


def test_the_environment_comes_before_any_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_config(tmp_path / "c.yaml", config(tmp_path, tmp_path / "state", index={"kind": "pinecone"})))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        with pytest.raises(TerminalError, match=r"PREFECT_API_URL=http://127\.0\.0\.1:9/api does not answer"):
            open_corpus(path, [])
        monkeypatch.setenv("PINECONE_API_KEY", "pcsk_from_the_environment")
        open_corpus(path, [])
