"""torchvision's datasets: CIFAR archives of the real layout, downloaded over HTTP by torchvision's own code."""

import functools
import hashlib
import io
import json
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from pinery.errors import BadImageError, ConfigError, MovedError, TransientError
from pinery.records import Item
from pinery.source_kinds import TorchvisionSource
from pinery.sources import open_source
from pinery.sources.torchvision import TorchvisionDatasets
from tests.corpora import listed_items, paint

LIMIT = 100_000
ROWS = 4  # of each batch file


def pixels(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Rows of one batch file: shape (ROWS, 3072), channel by channel."""
    return np.random.default_rng(seed).integers(0, 256, (ROWS, 3072), dtype=np.uint8)


def build_archive(kind: Any, path: Path, label_key: str, names: list[str]) -> dict[str, Any]:
    """Write an archive of `kind`'s layout; returns the class attributes that describe it."""
    batches = [name for name, _ in kind.train_list + kind.test_list]
    files = {kind.meta["filename"]: pickle.dumps({kind.meta["key"]: names})}
    for seed, name in enumerate(batches):
        files[name] = pickle.dumps(
            {"data": pixels(seed), label_key: [(seed + row) % len(names) for row in range(ROWS)]}
        )
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{kind.base_folder}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    sums = {name: hashlib.md5(data).hexdigest() for name, data in files.items()}
    return {
        "tgz_md5": hashlib.md5(path.read_bytes()).hexdigest(),
        "train_list": [[name, sums[name]] for name, _ in kind.train_list],
        "test_list": [[name, sums[name]] for name, _ in kind.test_list],
        "meta": {**kind.meta, "md5": sums[kind.meta["filename"]]},
    }


class Archives:
    """Served archives: a folder whose files can be changed, and the paths that were asked for."""

    def __init__(self, folder: Path, url: str, asked: list[str]) -> None:
        self.folder = folder
        self.url = url
        self.asked = asked


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    """Small CIFAR archives on a local HTTP server, in place of the real ones."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """torchvision hangs up on its first request, which asks for redirects alone."""

    server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    ten, hundred = torchvision.datasets.CIFAR10, torchvision.datasets.CIFAR100
    for kind, label_key, names in [
        (ten, "labels", ["airplane", "automobile", "bird"]),
        (hundred, "fine_labels", ["apple", "aquarium_fish"]),
    ]:
        described = build_archive(kind, folder / kind.filename, label_key, names)
        for name, value in {**described, "url": f"{url}/{kind.filename}"}.items():
            monkeypatch.setattr(kind, name, value)
    yield Archives(folder, url, asked)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def source(tmp_path: Path, archives: Archives) -> Callable[..., TorchvisionDatasets]:
    """Makes sources over the served archives."""

    def make(*datasets: str, **settings: Any) -> TorchvisionDatasets:
        chosen = {"kind": "torchvision", "datasets": datasets or ("CIFAR10",), "root": str(tmp_path / "root")}
        found = open_source(TorchvisionSource.model_validate(chosen | settings))
        assert isinstance(found, TorchvisionDatasets)
        return found

    return make


Make = Callable[..., TorchvisionDatasets]


def test_several_datasets_are_one_corpus(source: Make, archives: Archives) -> None:
    items = listed_items(source("CIFAR10", "CIFAR100"))
    md5 = torchvision.datasets.CIFAR10.tgz_md5
    assert items[7] == Item(
        "CIFAR10.7",
        "torchvision://CIFAR10/train/7",
        f"{md5}-train-7",
        -1,
        '{"label":"automobile"}',
        group="CIFAR10",
    )
    assert [item.id for item in items] == [f"CIFAR10.{n}" for n in range(20)] + [f"CIFAR100.{n}" for n in range(4)]
    assert [json.loads(i.metadata)["label"] for i in items[20:]] == ["apple", "aquarium_fish"] * 2
    assert archives.asked.count("/cifar-10-python.tar.gz") == 2  # torchvision asks once for redirects


def test_a_row_is_fetched_as_a_png_without_loss(source: Make) -> None:
    made = source()
    item = listed_items(made)[6]
    data = made.fetch(item.uri, item.version, LIMIT)
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    np.testing.assert_array_equal(np.asarray(image), pixels(1)[2].reshape(3, 32, 32).transpose(1, 2, 0))
    assert source().fetch(item.uri, item.version, LIMIT) == data


def test_the_test_split_is_another_corpus(source: Make) -> None:
    items = listed_items(source(split="test"))
    assert len(items) == ROWS
    assert items[0].uri == "torchvision://CIFAR10/test/0"
    assert items[0].version.endswith("-test-0")


def test_what_is_unpacked_is_not_downloaded_again(source: Make, archives: Archives) -> None:
    source().check()
    archives.asked.clear()
    assert len(listed_items(source(download=False))) == 20
    assert len(listed_items(source())) == 20
    assert archives.asked == []


def test_an_archive_placed_by_hand_is_used(source: Make, archives: Archives, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (archives.folder / "cifar-10-python.tar.gz").rename(tmp_path / "root" / "cifar-10-python.tar.gz")
    assert len(listed_items(source())) == 20


def test_a_failed_download_says_the_url_and_where_to_put_the_archive(
    source: Make, archives: Archives, tmp_path: Path
) -> None:
    (archives.folder / "cifar-10-python.tar.gz").unlink()
    with pytest.raises(TransientError) as caught:
        source().check()
    for part in ["CIFAR10", "404", f"{archives.url}/cifar-10-python.tar.gz", f"{tmp_path}/root/cifar-10-python.tar.gz"]:
        assert part in str(caught.value)


def test_a_wrong_checksum_is_said_and_heals(source: Make, archives: Archives) -> None:
    archive = archives.folder / "cifar-10-python.tar.gz"
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-100])
    with pytest.raises(TransientError, match=r"corrupted.*by hand"):
        source().check()
    archive.write_bytes(whole)
    source().check()


def test_without_download_missing_data_is_a_configuration_error(source: Make, archives: Archives) -> None:
    with pytest.raises(ConfigError, match=rf"source\.download: true.*{archives.url}"):
        source(download=False).check()
    assert archives.asked == []


def test_downloads_are_silent_without_a_terminal(source: Make, capfd: pytest.CaptureFixture[str]) -> None:
    source().check()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"datasets": ["CIFAR1O"]}, "no dataset 'CIFAR1O'; did you mean CIFAR10"),
        ({"datasets": ["FakeData"]}, "no dataset of files"),
        ({"datasets": ["CIFAR10", "CIFAR10"]}, "CIFAR10 more than once"),
        ({"split": "val"}, "no split 'val'; it has: train, test"),
        ({"datasets": ["GTSRB"], "split": "dev"}, "split 'dev'"),
    ],
)
def test_settings_that_can_not_work(source: Make, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        source(**settings).check()


def test_fetch_refuses_what_moved_or_is_too_large(source: Make) -> None:
    made = source()
    item = listed_items(made)[0]
    with pytest.raises(MovedError, match="changed"):
        made.fetch(item.uri, "other" + item.version, LIMIT)
    for uri in ["torchvision://CIFAR10/train/20", "torchvision://CIFAR10/test/0", "torchvision://MNIST/train/0"]:
        with pytest.raises(MovedError):
            made.fetch(uri, item.version, LIMIT)
    with pytest.raises(BadImageError, match="more than the limit of 10 "):
        made.fetch(item.uri, item.version, 10)


def test_many_threads_load_a_dataset_once(source: Make, archives: Archives) -> None:
    made = source()
    version = f"{torchvision.datasets.CIFAR10.tgz_md5}-train-3"
    with ThreadPoolExecutor(8) as pool:
        fetched = pool.map(lambda _: made.fetch("torchvision://CIFAR10/train/3", version, LIMIT), range(32))
        assert len(set(fetched)) == 1
    assert archives.asked.count("/cifar-10-python.tar.gz") == 2


class Drawings:
    """A dataset without checksum and labels apart, as torchvision's are written."""

    images = (Image.new("L", (4, 4), 7), Image.new("P", (4, 4), 1), Image.new("CMYK", (4, 4), (9, 8, 7, 6)))

    def __init__(self, root: str, split: str = "train") -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Image.Image, str]:
        return self.images[row], f"{self.split} {row}"


def test_a_dataset_without_checksum_is_told_by_its_pixels(source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "Drawings", Drawings, raising=False)
    monkeypatch.setattr(torchvision.datasets, "__all__", ("Drawings",))
    made = source("Drawings", split="dev")
    items = listed_items(made)
    assert [json.loads(item.metadata)["label"] for item in items] == ["dev 0", "dev 1", "dev 2"]
    assert all(item.version.startswith("sha256:") for item in items)
    modes = [Image.open(io.BytesIO(made.fetch(item.uri, item.version, LIMIT))).mode for item in items]
    assert modes == ["L", "P", "RGB"]
    monkeypatch.setattr(Drawings, "images", (Image.new("L", (4, 4), 8), *Drawings.images[1:]))
    with pytest.raises(MovedError):
        made.fetch(items[0].uri, items[0].version, LIMIT)
    assert [a.version == b.version for a, b in zip(items, listed_items(made), strict=True)] == [False, True, True]


class Files(Drawings):
    """A dataset that opens its images when they are asked for."""

    def __init__(self, root: str, split: str = "train") -> None:
        super().__init__(root, split)
        self.file = Path(root) / "1.png"
        if not self.file.exists():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), 7).save(self.file)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, row: int) -> tuple[Image.Image, str]:
        with Image.open(self.file) as image:
            return image.copy(), "label"


def test_a_file_that_is_gone_has_moved_unless_its_whole_root_is_gone(
    source: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torchvision.datasets, "Files", Files, raising=False)
    monkeypatch.setattr(torchvision.datasets, "__all__", ("Files",))
    made = source("Files")
    [item] = listed_items(made)
    root = tmp_path / "root"
    (root / "1.png").unlink()
    with pytest.raises(MovedError):
        made.fetch(item.uri, item.version, LIMIT)
    root.rename(tmp_path / "away")
    with pytest.raises(TransientError, match="went away"):
        made.fetch(item.uri, item.version, LIMIT)


@pytest.mark.parametrize("left", ["nothing", "another folder"])
def test_a_root_that_goes_away_amid_a_listing_makes_no_file_broken(tmp_path: Path, left: str) -> None:
    root = tmp_path / "root"
    for number in range(300):
        paint(root / "red" / f"{number:03}.jpg", "red", number)
    made = open_source(TorchvisionSource(kind="torchvision", datasets=["ImageFolder"], root=str(root)))
    batches = made.list_batches()
    first = next(batches)
    root.rename(tmp_path / "away")
    if left == "another folder":
        root.mkdir()
    with pytest.raises(TransientError, match="went away"):
        list(batches)
    with pytest.raises(TransientError, match="went away"):
        made.fetch(first["uri"][0].as_py(), first["version"][0].as_py(), LIMIT)


def test_labels_are_listed_without_opening_images(source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "__getitem__", lambda _, row: opened.append(row))
    assert len(listed_items(source())) == 20
    assert opened == []


def test_a_file_that_can_not_be_read_is_one_bad_row(tmp_path: Path) -> None:
    for name in ("cats/1.png", "cats/2.png", "dogs/3.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((64, 64), 50).save(path)
    broken = tmp_path / "cats" / "2.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:300])
    settings = TorchvisionSource(kind="torchvision", datasets=["ImageFolder"], root=str(tmp_path))
    first, bad, third = listed_items(open_source(settings))
    assert [json.loads(item.metadata)["label"] for item in (first, bad, third)] == ["cats", "cats", "dogs"]
    source = open_source(settings)
    with pytest.raises(BadImageError, match=r"cats/2\.png can't be read by torchvision: .*truncated"):
        source.fetch(bad.uri, bad.version, LIMIT)
    assert source.fetch(third.uri, third.version, LIMIT)
    assert listed_items(open_source(settings)) == [first, bad, third]
    broken.write_bytes(whole[:301])
    with pytest.raises(MovedError):
        source.fetch(bad.uri, bad.version, LIMIT)
    broken.write_bytes(whole)
    mended = listed_items(open_source(settings))[1]
    assert mended.version.startswith("sha256:")
    assert open_source(settings).fetch(mended.uri, mended.version, LIMIT)
