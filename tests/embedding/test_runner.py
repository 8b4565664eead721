"""The batch runner with a model that can be checked by eye: an image's vector is its mean colour."""

import dataclasses
import hashlib
import io
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from pinery.embedding import embedder, reading
from pinery.embedding import runner as batch_runner
from pinery.embedding.runner import Runner
from pinery.errors import BadImageError, MovedError, StoppedError, TerminalError, TransientError
from pinery.models.descriptor import Descriptor
from pinery.records import ModelCard
from pinery.sources.protocol import read_each


class MeanColour:
    """Vectors are (red, green, blue), 0 to 255."""

    card = ModelCard("mean-colour", "none", "", "mean", "none", "exact", "fp32", normalise=False, dimension=3)
    device = "cpu"

    resize_side = 1
    centre_crop = None

    def __init__(self, batch_size=4, memory=1000):
        self.batch_size, self.memory = batch_size, memory
        self.batches, self.told = [], []

    def expect(self, images, threads):
        self.told.append((images, threads))

    def preprocess(self, image):
        return torch.from_numpy(np.array(image.resize((2, 2)))).float()

    def embed(self, batch):
        if len(batch) > self.memory:
            raise torch.OutOfMemoryError("too many")
        self.batches.append(len(batch))
        return batch.mean(dim=(1, 2)).numpy()

    def embed_text(self, texts):
        raise NotImplementedError


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def colour(position):
    return (position % 256, 10 + position // 256, 100)


def runner(model, **options):
    options = {"fetch_threads": 4, "decode_threads": 4, "max_pixels": 10_000, "dimension": 3, "batch": None, **options}
    build = model if callable(model) else lambda: model
    if options["batch"] is None:
        options["batch"] = getattr(model, "batch_size", 4)
    return Runner(build, options.pop("dimension"), **options)


class Known(dict):
    """Vectors by the hashes of their bytes."""

    def find(self, sha256):
        return {one: self[one] for one in sha256 if one in self}


def embed(one, count, fetch=None, known=None, *, note=None, stop=None, timings=None, size=-1):
    """What a runner makes of so many items, each of which `fetch` returns or refuses by its position."""
    fetch = fetch or (lambda i: png(colour(i)))
    return one.embed(
        [size] * count,
        lambda start, stop: read_each(lambda at, *_: fetch(at), [(at, "") for at in range(start, stop)], 0),
        Known() if known is None else known,
        note=note or pytest.fail,
        stop=stop or (lambda: False),
        timings={} if timings is None else timings,
    )


def run(model, count, fetch=None, known=None, *, note=None, stop=None, timings=None, **options):
    return embed(runner(model, **options), count, fetch, known, note=note, stop=stop, timings=timings)


class Outcome(NamedTuple):
    """What became of one item."""

    position: int
    sha256: str | None
    values: np.ndarray | None
    error: str | None
    moved: bool
    reused: bool


def outcomes_of(batch):
    for row in range(batch.items):
        without = row in batch.errors or row in batch.moved
        yield Outcome(
            batch.first + row,
            batch.sha256[row],
            None if without else batch.vectors[row],
            batch.errors.get(row),
            row in batch.moved,
            row in batch.reused,
        )


def flat(batches):
    return [outcome for batch in batches for outcome in outcomes_of(batch)]


def test_outcomes_come_in_order_one_list_per_batch():
    timings = {}
    batches = list(run(MeanColour(), 10, timings=timings))
    assert [batch.items for batch in batches] == [4, 4, 2]
    for position, outcome in enumerate(flat(batches)):
        assert outcome.position == position
        assert outcome.values.dtype == np.float32
        assert tuple(outcome.values) == colour(position)
        assert outcome.sha256 == hashlib.sha256(png(colour(position))).hexdigest()
        assert (outcome.error, outcome.moved, outcome.reused) == (None, False, False)
    assert set(timings) == {"fetch", "decode", "infer"}
    assert all(seconds > 0 for seconds in timings.values())


def test_nothing_to_do_yields_nothing_and_builds_no_model():
    assert list(run(pytest.fail, 0)) == []


def test_timings_add_up_over_runs():
    timings = {"fetch": 100.0, "other": 1.0}
    list(run(MeanColour(), 2, timings=timings))
    assert timings["fetch"] > 100
    assert timings["other"] == 1.0


def test_a_bad_item_costs_one_row():
    def fetch(position):
        if position == 1:
            raise BadImageError("the file is larger than allowed")
        if position == 2:
            raise MovedError("gone")
        return b"no image" if position == 3 else png(colour(position))

    outcomes = flat(run(MeanColour(), 6, fetch))
    assert [o.error for o in outcomes][1] == "the file is larger than allowed"
    assert outcomes[1].sha256 is None
    assert outcomes[2].moved
    assert outcomes[2].error is outcomes[2].sha256 is outcomes[2].values is None
    assert "not an image" in outcomes[3].error
    assert outcomes[3].sha256 == hashlib.sha256(b"no image").hexdigest()
    assert [tuple(outcomes[i].values) for i in (0, 4, 5)] == [colour(i) for i in (0, 4, 5)]


def test_known_bytes_take_their_vector_and_build_no_model():
    vector = np.array([1, 2, 3], np.float32)
    known = Known({hashlib.sha256(png(colour(i))).hexdigest(): vector for i in range(70)})
    outcomes = flat(run(pytest.fail, 70, known=known))
    assert len(outcomes) == 70
    assert all(o.reused and o.values.tolist() == [1, 2, 3] and o.sha256 for o in outcomes)


def test_the_model_is_built_once_and_sees_only_what_is_new():
    model, built = MeanColour(), []
    old = {hashlib.sha256(png(colour(i))).hexdigest() for i in range(0, 40, 2)}

    def build():
        built.append(time.sleep(0.05))
        return model

    known = Known({digest: np.ones(3, np.float32) for digest in old})
    outcomes = flat(run(build, 40, known=known, fetch_threads=8, batch=10))
    assert len(built) == 1
    assert sum(model.batches) == 20
    assert [o.reused for o in outcomes] == [True, False] * 20


def test_look_ahead_is_bounded(monkeypatch):
    monkeypatch.setattr(embedder, "BATCHES_AT_ONCE", 1)
    submitted, lock = [], threading.Lock()

    def fetch(position):
        with lock:
            submitted.append(position)
        return png(colour(position))

    size, threads = 2, 8
    one = runner(MeanColour(batch_size=size), fetch_threads=threads)
    batches = embed(one, 400, fetch)
    done = 0
    while done < 100:
        done += next(batches).items
        # What was yielded, what the streams have, and two pieces of eight items a thread.
        assert len(submitted) <= done + one.in_flight * size + 2 * max(size, 8 * threads)
    batches.close()


def test_items_of_which_there_are_few_are_fetched_on_all_threads():
    """Each item waits for as many as there are threads; if one thread had two of them it would wait for ever."""
    together = threading.Barrier(8)

    def fetch(position):
        together.wait(20)
        return png(colour(position))

    assert len(flat(run(MeanColour(), 8, fetch, fetch_threads=8))) == 8


@pytest.mark.parametrize(
    ("changed", "options", "most"),
    [
        ({}, {}, 4),
        ({"AT_ONCE_SECONDS": 0}, {}, 1),
        ({"BATCH_BYTES": 1}, {}, 1),
        ({}, {"batch": 4}, 1),
        ({}, {"device": "mps"}, 1),
    ],
    ids=["a fast model", "a slow one", "large images", "a size that was set", "an accelerator"],
)
def test_a_fast_model_on_a_cpu_is_given_several_batches_at_once(monkeypatch, changed, options, most):
    settled = {"FIRST_SIZE": 1, "LARGEST_SIZE": 1, "BATCH_WITHOUT_MODEL": 4}
    for name, value in (settled | {"AT_ONCE_SECONDS": 1e9} | changed).items():
        monkeypatch.setattr(embedder, name, value)
    model = MeanColour(batch_size=4)
    one = runner(model, decode_threads=2, **{"batch": "auto", **options})
    batches = list(embed(one, 600))
    assert [tuple(o.values) for o in flat(batches)] == [colour(i) for i in range(600)]
    assert max(model.batches) == 4
    assert max(batch.items for batch in batches) == 4 * most
    # All streams have work until the end, and in the next part as well.
    assert [batch.items for batch in (*batches[-one.in_flight :], *embed(one, 4 * one.in_flight))] == [4] * (
        2 * one.in_flight
    )


@pytest.mark.parametrize("listed", [-1, 0], ids=["unknown", "listed"])
def test_no_more_bytes_are_fetched_ahead_than_there_is_room_for(monkeypatch, listed):
    monkeypatch.setattr(batch_runner, "BYTES_AHEAD", room := 1_000_000)
    monkeypatch.setattr(reading, "BYTES_AHEAD", room)
    monkeypatch.setattr(reading, "PIECE_BYTES", 1)
    file, started = png((1, 2, 3)) + bytes(100_000), []

    def fetch(position):
        started.append(position)
        return file

    size, threads = 64, 2
    one = runner(MeanColour(batch_size=size), fetch_threads=threads)
    sizes, done = [], 0
    for batch in embed(one, 200, fetch, size=listed if listed < 0 else len(file)):
        done += batch.items
        sizes.append(batch.items)
        assert (len(started) - done) * len(file) <= 2 * room + (threads + one.in_flight) * len(file)
    assert done == 200
    assert max(sizes) == -(-room // one.in_flight // len(file)), "a batch holds its share of the bytes, and no more"


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_small_items_fetched_several_in_a_row_come_in_order_each_with_its_own_fate(device):
    threads = {}

    def fetch(position):
        threads[position] = threading.get_ident()
        if position % 50 == 7:
            raise BadImageError("broken")
        if position % 50 == 8:
            raise MovedError("gone")
        return png(colour(position))

    outcomes = flat(run(MeanColour(batch_size=64), 1000, fetch, fetch_threads=3, device=device))
    assert [outcome.position for outcome in outcomes] == list(range(1000))
    for position, outcome in enumerate(outcomes):
        kind = position % 50
        assert (outcome.error == "broken", outcome.moved) == (kind == 7, kind == 8)
        assert kind in (7, 8) or tuple(outcome.values) == colour(position)
    alone = sum(threads[at] != threads[at + 1] for at in range(500, 999))
    assert alone < 250, "each was handed over by itself"


def test_each_core_computes_a_batch_of_its_own():
    """The model waits for as many batches as there are cores; with fewer at once it would wait for ever."""
    cores = min(torch.get_num_threads(), 4)
    together, threads = threading.Barrier(cores), []

    class Meeting(MeanColour):
        def embed(self, batch):
            together.wait(20)
            threads.append(torch.get_num_threads())
            return super().embed(batch)

    outcomes = flat(run(Meeting(), 16 * cores, decode_threads=cores))
    assert [tuple(o.values) for o in outcomes] == [colour(i) for i in range(16 * cores)]
    assert set(threads) == {torch.get_num_threads() // cores}


def test_an_accelerator_computes_one_batch_at_a_time_while_threads_decode_others():
    computing, meeting = threading.Lock(), threading.Barrier(2)

    class Elsewhere(MeanColour):
        device = "mps"

        def preprocess(self, image):
            if (
                image.getpixel((0, 0))[0] == 5
            ):  # of the second batch: it and the first that is computed wait for each other
                meeting.wait(20)
            return super().preprocess(image)

        def embed(self, batch):
            assert computing.acquire(blocking=False), "two batches at once"
            try:
                if not self.batches:
                    meeting.wait(20)
                return super().embed(batch)
            finally:
                computing.release()

    model = Elsewhere()
    outcomes = flat(run(model, 40, device="mps"))
    assert [tuple(o.values) for o in outcomes] == [colour(i) for i in range(40)]
    assert model.batches == [4] * 10


class DecodingItself(MeanColour):
    """Makes images of all but every third by itself, many at once."""

    card = dataclasses.replace(MeanColour.card, decoder="cuda")

    def __init__(self, **options):
        super().__init__(**options)
        self.taken, self.left = [], []

    def preprocess(self, image):
        self.left.append(image.getpixel((0, 0))[0])
        return super().preprocess(image)

    def prepare_on_device(self, encoded, max_pixels):
        assert max_pixels == 10_000
        self.taken.append(len(encoded))
        return [None if not data or self.red(data) % 3 == 0 else self.image(data) for data in encoded]

    def red(self, data):
        return int(self.image(data)[0, 0, 0])

    def image(self, data):
        return MeanColour.preprocess(self, Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_what_the_device_decodes_itself_comes_in_its_place_and_once(device):
    model, notes = DecodingItself(), []
    vector = np.array([7, 7, 7], np.float32)

    def fetch(position):
        if position == 5:
            raise BadImageError("broken")
        return b"known" if position == 7 else png(colour(position))

    known = hashlib.sha256(b"known").hexdigest()
    outcomes = flat(run(model, 30, fetch, Known({known: vector}), note=notes.append, device=device))
    expected = [(7, 7, 7) if i == 7 else colour(i) for i in range(30)]
    assert [None if o.values is None else tuple(o.values) for o in outcomes] == [
        None if i == 5 else one for i, one in enumerate(expected)
    ]
    assert outcomes[5].error == "broken"
    assert sorted(model.left) == list(range(0, 30, 3))
    assert sum(model.taken) == 28, "all but the broken and the known one"
    assert notes == ["the decoder is cuda and the device cpu: the CPU decodes"]


def test_only_the_decoder_cuda_asks_the_device():
    model = DecodingItself()
    model.card = MeanColour.card
    assert [tuple(o.values) for o in flat(run(model, 10))] == [colour(i) for i in range(10)]
    assert model.taken == []


def test_decoding_on_the_device_counts_as_decoding():
    class Slow(DecodingItself):
        def prepare_on_device(self, encoded, max_pixels):
            time.sleep(0.02)
            return super().prepare_on_device(encoded, max_pixels)

    timings = {}
    list(run(Slow(), 40, note=lambda _: None, device="mps", timings=timings))
    assert timings["decode"] > 10 * 0.02 / batch_runner.STREAMS_OF_ACCELERATORS


def test_any_other_fault_ends_it_with_its_threads():
    def fetch(position):
        if position == 9:
            raise TransientError("the bucket timed out")
        return png(colour(position))

    before = threading.active_count()
    batches = run(MeanColour(), 1000, fetch)
    seen = []
    with pytest.raises(TransientError, match="the bucket timed out"):
        seen.extend(batch for batch in batches)
    assert len(flat(seen)) in (0, 4)  # of the batch before, and none of it
    assert threading.active_count() == before


def test_closing_it_early_ends_its_threads():
    before = threading.active_count()
    batches = run(MeanColour(), 1000)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_stop_is_asked_between_batches():
    answers = iter([False, False, True])
    seen = []
    with pytest.raises(StoppedError) as stopped:
        seen.extend(run(MeanColour(), 1000, stop=lambda: next(answers)))
    assert len(seen) == 2
    assert f"after {len(flat(seen))} of the 1,000" in str(stopped.value)


def test_out_of_memory_halves_the_batch_for_good_and_is_told():
    model, notes = MeanColour(batch_size=8, memory=3), []
    one = runner(model, batch=8)
    for count in (20, 5):
        outcomes = flat(embed(one, count, note=notes.append))
        assert [tuple(o.values) for o in outcomes] == [colour(i) for i in range(count)]
    assert sorted(model.batches) == [1] + [2] * 12
    assert notes == [
        "8 images at once don't fit into the memory of cpu; going on with 4",
        "4 images at once don't fit into the memory of cpu; going on with 2",
    ]
    assert one.batch_size == 2
    assert {batch.items for batch in embed(one, 200)} == {2}, "several batches at once take more memory"


def test_out_of_memory_for_one_image_is_terminal():
    with pytest.raises(TerminalError, match="single image"):
        list(run(MeanColour(memory=0), 5))


def test_a_vector_of_another_width_is_terminal():
    with pytest.raises(TerminalError, match=r"shape \(4, 3\); expected \(4, 7\)"):
        list(run(MeanColour(), 5, dimension=7))


def test_vectors_no_index_takes_become_error_rows():
    class Broken(MeanColour):
        def embed(self, batch):
            vectors = super().embed(batch)
            vectors[0], vectors[1, 0], vectors[2, 1] = 0, np.nan, np.inf
            return vectors

    outcomes = flat(run(Broken(), 4))
    assert [o.error for o in outcomes] == [
        "the model's vector is all zeros",
        "the model's vector has NaN or infinite values",
        "the model's vector has NaN or infinite values",
        None,
    ]
    assert [o.values is None for o in outcomes] == [True, True, True, False]


def test_a_vector_is_the_same_alone_and_in_batches_of_7_and_32():
    rng = np.random.default_rng(0)
    files = []
    for _ in range(32):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        buffer = io.BytesIO()
        small.resize((80, 60)).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    runs = {}
    for size in (1, 7, 32):
        model = Descriptor(batch_size=size)
        outcomes = flat(run(model, 32, files.__getitem__, dimension=model.card.dimension, batch=size))
        runs[size] = np.stack([o.values for o in outcomes])
    for size in (7, 32):
        assert (1 - (runs[1] * runs[size]).sum(axis=1)).max() < 1e-5


MANY_LARGE = """
import io, resource, struct, sys, zlib
import numpy as np
from pinery.imaging import budget
from pinery.models.descriptor import Descriptor
from pinery.embedding.runner import Runner

side, count = int(sys.argv[1]), int(sys.argv[2])


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
rows = zlib.compressobj(1)
body = b"".join([rows.compress(b"\\0" + b"\\x80" * 4 * side) for _ in range(side)]) + rows.flush()
data = b"\\x89PNG\\r\\n\\x1a\\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")
model = Descriptor(batch_size=count)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
options = dict(fetch_threads=count, decode_threads=count, max_pixels=side * side, batch=count)
runner = Runner(lambda: model, model.card.dimension, **options)
data = [data[:-12] + bytes([at]) * at + data[-12:] for at in range(count)]
read, known = lambda start, stop: data[start:stop], type("Nothing", (), {"find": lambda self, sha256: {}})()
batches = runner.embed([-1] * count, read, known, note=print, stop=lambda: False, timings={})
assert [batch.errors for batch in batches] == [{}]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / budget.PIXELS_AT_ONCE)
"""


@pytest.mark.slow
def test_memory_is_bounded_however_many_large_images_come_at_once():
    command = [sys.executable, "-c", MANY_LARGE, "5600", "16"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    # Bytes per budgeted pixel: two full copies of 4 bytes each and slack; all 16 at once, with five copies, take 60.
    assert float(run.stdout) < 14


def test_a_batch_size_is_found_by_timing_and_outlives_a_part():
    class Timed(MeanColour):
        """Twelve milliseconds a call and two an image, from sixteen images on ten."""

        def embed(self, batch):
            time.sleep(0.012 + len(batch) * (0.002 if len(batch) <= 16 else 0.010))
            return super().embed(batch)

    model = Timed(batch_size=16)
    one = runner(model, batch="auto")
    for _ in range(2):
        assert [tuple(o.values) for o in flat(embed(one, 300))] == [colour(i) for i in range(300)]
    sizes = list(dict.fromkeys(model.batches))
    assert sizes[:3] == [8, 16, 32]
    assert one.batch_size == 16
    assert sorted(model.batches[-19:]) == [12] + [16] * 18, "what was settled on was tried anew"


def test_the_next_batch_is_prepared_while_the_model_computes():
    """The model waits for something that only happens when a later item is fetched."""
    fetched_later = threading.Event()

    class Waiting(MeanColour):
        def embed(self, batch):
            assert fetched_later.wait(20), "nothing was fetched while the model was at work"
            return super().embed(batch)

    def fetch(position):
        if position >= 8:
            fetched_later.set()
        return png(colour(position))

    assert len(flat(run(Waiting(), 12, fetch, fetch_threads=1))) == 12


def test_no_more_images_are_decoded_at_once_than_there_are_turns():
    at_once, peaks, lock = [], [], threading.Lock()

    class Counting(MeanColour):
        def preprocess(self, image):
            with lock:
                at_once.append(1)
                peaks.append(len(at_once))
            time.sleep(0.001)
            tensor = super().preprocess(image)
            with lock:
                at_once.pop()
            return tensor

    flat(run(Counting(), 60, fetch_threads=16, decode_threads=2))
    assert max(peaks) == 2


def test_the_model_is_told_once_how_much_is_ahead():
    model = MeanColour()
    one = runner(model, expected=1234, decode_threads=3)
    for _ in range(2):
        flat(embed(one, 5))
    assert model.told == [(1234, 3)]
