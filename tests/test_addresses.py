"""No address shows a password or a signature, wherever in a text it stands; what is no secret stays."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.addresses import ShowsNoSecrets, holds_secret, secrets_in, shown, without_secrets
from pinery.errors import DifferentError, TerminalError

SIGNED = "https://host.test:9000/a/w.pth?X-Amz-Credential=AKIA&X-Amz-Signature=abc"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"can't fetch {SIGNED}: refused", "can't fetch https://host.test:9000/a/w.pth: refused"),
        (f"(see {SIGNED}), then", "(see https://host.test:9000/a/w.pth), then"),
        (f"for url '{SIGNED}'", "for url 'https://host.test:9000/a/w.pth'"),
        ("http://me:hunter2@host/x", "http://host/x"),
        ("http://me:hun@ter2@host/x", "http://host/x"),
        ("http://me:hun/ter2@host/x", "http://host/x"),
        ("https://ghp_token@host/x.", "https://host/x."),
        ("s3://me:hunter2@bucket/key", "s3://bucket/key"),
        ("http://me:hunter2@[::1]:9/api?key=k", "http://[::1]:9/api"),
        ("no answer, url: /x.jpg?sig=abc&n=1 (Caused", "no answer, url: /x.jpg?sig=…&n=1 (Caused"),
        ("https://host/w.pth#token=abc", "https://host/w.pth"),
    ],
)  # fmt: skip
def test_secrets_are_taken_out(text: str, told: str) -> None:
    assert without_secrets(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/a?b#c@d.jpg is not there",
        "file:///home/me/a@b.jpg?x",
        "https://registry.test/@scope/name/w.pth",
        "torchvision://CIFAR10/train/3",
        "no address; user@host.test, a://, 12:30, C:\\x",
        "--allow-deletes lets it pass",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text
    assert not holds_secret(text)


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        (SIGNED, True),
        ("https://blob.test/w?sv=2024&sig=a%2Fb", True),
        ("https://host/w?t=1b2c", True),
        ("https://host/w?1b2c", True),
        ("https://me:p@host/w", True),
        ("https://token@host/w", True),
        ("https://host/w?download=true", False),
        ("https://host/w", False),
        ("s3://bucket/w?versionId=x", False),
        ("../weights/w.pth", False),
    ],
)
def test_an_address_with_a_secret_is_known(address: str, secret: bool) -> None:
    assert holds_secret(address) is secret


WORDS = st.text(st.characters(categories=["L", "N"], include_characters="-._~%"), min_size=1, max_size=12)


@given(
    user=WORDS,
    password=WORDS,
    host=st.from_regex("[a-z]{1,9}([.][a-z]{2,5})?(:[0-9]{2,4})?", fullmatch=True),
    path=WORDS,
    name=WORDS,
    value=WORDS,
    around=st.sampled_from(["{}", "'{}'", "({})", "a {}: b", '"{}",']),
)
def test_neither_password_nor_query_is_left_of_any_address(
    user: str, password: str, host: str, path: str, name: str, value: str, around: str
) -> None:
    told = without_secrets(around.format(f"https://{user}:{password}MARK@{host}/{path}?{name}={value}MARK"))
    assert "MARK" not in told
    assert f"https://{host}/{path}".rstrip(".") in told
    assert without_secrets(told) == told


def test_an_error_never_has_a_secret_in_its_text() -> None:
    assert str(TerminalError(f"no answer from {SIGNED}")) == "no answer from https://host.test:9000/a/w.pth"
    counts = dict.fromkeys(("extra", "stale", "wrong", "wrong_metadata", "repaired"), 0) | {"missing": 1}
    assert "1 missing" in str(DifferentError("i", counts))


def test_secrets_are_found_under_any_key_and_hidden_under_their_names() -> None:
    data = {"model": {"weights": SIGNED}, "source": {"uris": ["s3://b/k", "http://me:p@h/x"]}, "state": "s3://b"}
    assert list(secrets_in(data)) == ["model.weights", "source.uris"]
    assert shown({"kind": "pine", "api_key": "k", "inner": [{"Password": "p"}]}) == {
        "kind": "pine", "api_key": "…", "inner": [{"Password": "…"}]
    }  # fmt: skip


def test_a_logger_can_be_kept_from_showing_secrets(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("shows-no-secrets")
    logger.addFilter(ShowsNoSecrets())
    logger.warning("GET %s %d", SIGNED, 200)
    assert caplog.messages == ["GET https://host.test:9000/a/w.pth 200"]
    try:
        raise TerminalError("no weights") from LookupError(SIGNED)
    except TerminalError:
        logger.exception("it broke")
    assert "no weights" in caplog.text
    assert "Signature" not in caplog.text
