"""Weights files from a path, S3 and HTTP: checked, cached, read without running code, and refused with a reason."""

import hashlib
import http.server
import pickle
import threading

import boto3
import pytest
import safetensors.torch
import torch

from pinery.errors import AccessDeniedError, ConfigError, TransientError
from pinery.models.weights import cache_folder, fetch_weights, read_state_dict

BODY = b"weights " * 1000
SUM = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def site():
    """An HTTP server: `/<status>` answers with that status, `/cut` breaks off, anything else delivers BODY."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            word = self.path.split("?")[0].strip("/")
            self.send_response(int(word) if word.isdigit() else 200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[: 100 if word == "cut" else len(BODY)])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    server.url, server.asked = f"http://127.0.0.1:{server.server_port}", asked
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def bucket(s3_server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint_url)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="weights-bucket")
    client.put_object(Bucket="weights-bucket", Key="a/model.pt", Body=BODY)
    return s3_server


def test_a_path_is_used_where_it_lies(tmp_path):
    file = tmp_path / "model.pt"
    file.write_bytes(BODY)
    assert fetch_weights(str(file), SUM) == file
    with pytest.raises(ConfigError, match=f"have SHA-256 {SUM}, but the settings expect {'0' * 64}"):
        fetch_weights(str(file), "0" * 64)
    with pytest.raises(ConfigError, match="does not exist"):
        fetch_weights(str(tmp_path / "none.pt"), SUM)


def test_http_is_fetched_once(site):
    found = fetch_weights(f"{site.url}/model.pt", SUM)
    assert found.read_bytes() == BODY
    assert fetch_weights(f"{site.url}/model.pt", SUM) == found
    assert site.asked == ["/model.pt"]
    found.write_bytes(b"damaged")
    assert fetch_weights(f"{site.url}/model.pt", SUM).read_bytes() == BODY


@pytest.mark.parametrize(
    ("path", "error", "reason"),
    [
        ("403", AccessDeniedError, "denied"),
        ("404", ConfigError, "nothing at"),
        ("429", TransientError, "answered 429"),
        ("503", TransientError, "answered 503"),
        ("cut", TransientError, "did not deliver"),
    ],
)
def test_http_faults_have_their_types_and_show_no_secret(site, path, error, reason):
    address = f"{site.url}/{path}?signature=hush".replace("//", "//user:hush@", 1)
    with pytest.raises(error, match=reason) as caught:
        fetch_weights(address, SUM)
    assert "hush" not in str(caught.value)
    assert list(cache_folder().iterdir()) == []


def test_another_sum_leaves_nothing_behind(site):
    with pytest.raises(ConfigError, match="SHA-256"):
        fetch_weights(f"{site.url}/model.pt", "0" * 64)
    assert list(cache_folder().iterdir()) == []


def test_an_unreachable_host_is_transient():
    with pytest.raises(TransientError, match="ConnectError"):
        fetch_weights("http://127.0.0.1:1/model.pt", SUM)


def test_other_schemes_are_refused():
    with pytest.raises(ConfigError, match="use a path, s3:// or https://"):
        fetch_weights("ftp://host/model.pt", SUM)


def test_s3_is_fetched_once(bucket):
    assert fetch_weights("s3://weights-bucket/a/model.pt", SUM).read_bytes() == BODY
    fetch_weights("s3://weights-bucket/a/model.pt", SUM)
    assert bucket.count("GET", "a/model.pt") == 1


def test_s3_faults_have_their_types(bucket):
    with pytest.raises(ConfigError, match="NoSuchKey"):
        fetch_weights("s3://weights-bucket/none.pt", SUM)
    bucket.fail(403, key="a/model.pt")
    with pytest.raises(AccessDeniedError, match="denied"):
        fetch_weights("s3://weights-bucket/a/model.pt", SUM)
    bucket.cut(key="a/model.pt")
    with pytest.raises(TransientError, match="did not deliver"):
        fetch_weights("s3://weights-bucket/a/model.pt", SUM)


@pytest.mark.parametrize("kind", ["plain", "wrapped", "safetensors"])
def test_state_dicts_in_three_wrappings(tmp_path, kind):
    state, file = {"layer.weight": torch.arange(6.0).reshape(2, 3)}, tmp_path / "weights.bin"
    if kind == "safetensors":
        safetensors.torch.save_file(state, file)
    else:
        torch.save(state if kind == "plain" else {"state_dict": state, "epoch": 3}, file)
    found = read_state_dict(file)
    assert list(found) == ["layer.weight"]
    assert torch.equal(found["layer.weight"], state["layer.weight"])


class Evil:
    def __reduce__(self):
        return (print, ("code of a weights file ran",))


def test_files_that_are_no_state_dict(tmp_path, capsys):
    file = tmp_path / "weights.pt"
    for content in (b"", b"text", pickle.dumps({"a": Evil()}), b"\x10\0\0\0\0\0\0\0{not json at all"):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="can't be read as weights"):
            read_state_dict(file)
    torch.save({"a": Evil()}, file)
    with pytest.raises(ConfigError, match="can't be read as weights"):
        read_state_dict(file)
    torch.save({"epoch": 3}, file)
    with pytest.raises(ConfigError, match="no state dict"):
        read_state_dict(file)
    assert capsys.readouterr().out == ""
