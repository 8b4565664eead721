"""torch.compile: when `auto` takes it, that it compiles once and changes no vector, and goes on where it fails."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch._dynamo.utils import counters

from pinery.models import registry
from pinery.models.compiled import BREAK_EVEN, Compiled
from pinery.target_settings import ModelSettings
from tests.models import tiny
from tests.models.pictures import pictures, units
from tests.small_models import squeezenet_weights

ENOUGH = BREAK_EVEN["cpu"]
needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="there is no C++ compiler")


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory):
    weights = squeezenet_weights(tmp_path_factory.mktemp("weights"))
    return ModelSettings(**weights | {"name": "torchvision:squeezenet1_1#features"}, device="cpu", batch=32)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    folder = tiny.save_vit(tmp_path_factory.mktemp("models") / "vit")
    return ModelSettings(name=f"hf:{folder}", device="cpu", precision="fp32")


@pytest.fixture(autouse=True)
def nothing_compiled():
    """Graphs are kept for the process, and serve every network of the same structure."""
    torch._dynamo.reset()


def graphs():
    """Return how many graphs were compiled so far in this process."""
    return counters["stats"]["unique_graphs"]


def loaded(settings, images=None, **changes):
    model = registry.load(settings.model_copy(update=changes))
    if images is not None:
        model.expect(images, 2)
    return model


@pytest.mark.parametrize(
    ("compiling", "images"), [("auto", None), ("auto", ENOUGH - 1), ("off", ENOUGH), ("off", None), ("on", None)]
)
def test_a_search_a_few_images_and_off_compile_nothing(squeezenet, compiling, images):
    model = loaded(squeezenet, images, compile=compiling)
    before = graphs()
    model.embed(torch.stack([model.preprocess(picture) for picture in pictures(2)]))
    assert graphs() == before


def test_auto_leaves_transformers_as_they_are(vit):
    model = loaded(vit, 100 * ENOUGH)
    before = graphs()
    model.embed(torch.stack([model.preprocess(picture) for picture in pictures(2)]))
    assert graphs() == before


@needs_compiler
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("kind", "compiling", "expected"),
    [pytest.param("squeezenet", "auto", ENOUGH, marks=pytest.mark.slow), ("vit", "on", 1)],
)
def test_compiled_once_for_all_sizes_and_the_same_vectors(kind, compiling, expected, precision, request):
    settings = request.getfixturevalue(kind)
    eager = loaded(settings, precision=precision, compile="off")
    model = loaded(settings, expected, precision=precision, compile=compiling)
    images = torch.stack([eager.preprocess(picture) for picture in pictures(256)])
    plain, before = units(eager.embed(images)), graphs()
    model.embed(images[:32])
    assert graphs() == before + 1
    whole = model.embed(images[:32])  # the first batch may be one that `auto` still tried in both ways
    for size in (7, 1, 16, 32, 256, 2, 31):
        found = units(model.embed(images[:size]))
        assert found.shape == (size, model.card.dimension)
        assert (1 - (found * plain[:size]).sum(axis=1)).max() < 1e-4
        assert ((found @ plain.T).argmax(axis=1) == np.arange(size)).all()
    assert graphs() == before + 1, "compiled anew for a batch of another size"
    assert (model.embed(images[:32]) == whole).all()
    assert model.card == eager.card


@needs_compiler
def test_what_compiling_doesnt_make_faster_is_run_as_it_is():
    network = torch.nn.Flatten()  # nothing to gain
    tried, images = Compiled(network, "flat", 16, tried=True), torch.rand(16, 3, 2, 2)
    before = graphs()
    assert torch.equal(tried(images), network(images))
    assert graphs() == before + 1
    torch._dynamo.reset()
    assert torch.equal(tried(images), network(images))
    assert graphs() == before + 1, "still compiled"


@needs_compiler
@pytest.mark.parametrize("batch", [1, 3])
def test_batches_that_are_always_small_are_compiled_too(vit, batch):
    model = loaded(vit, 1, compile="on", batch=batch)
    images = torch.stack([model.preprocess(picture) for picture in pictures(batch)])
    before = graphs()
    model.embed(images)
    assert graphs() == before + 1


@needs_compiler
def test_threads_share_it_while_it_is_compiled_and_afterwards(vit):
    eager, model = loaded(vit, compile="off"), loaded(vit, 1, compile="on", batch=16)
    batches = [torch.stack([eager.preprocess(picture) for picture in pictures(16, first)]) for first in range(3)]
    expected, before = [units(eager.embed(batch)) for batch in batches], graphs()
    with ThreadPoolExecutor(len(batches), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in range(20):
            for plain, found in zip(expected, pool.map(model.embed, batches), strict=True):
                assert (1 - (units(found) * plain).sum(axis=1)).max() < 1e-4
    assert graphs() == before + 1


WITHOUT_COMPILER = """
import sys, warnings
import torch
from pinery.target_settings import ModelSettings
from pinery.models import registry

model, eager = (
    registry.load(ModelSettings(name=sys.argv[1], device="cpu", precision="fp32", compile=c)) for c in ("on", "off")
)
images = torch.rand(32, 3, 32, 32)
model.expect(1, 1)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = [model.embed(images), model.embed(images)]
assert all((vectors == eager.embed(images)).all() for vectors in found)
print(*(str(one.message) for one in caught if one.category is RuntimeWarning), sep="\\n")
"""


@pytest.mark.slow
def test_without_a_compiler_it_warns_once_and_goes_on(vit, tmp_path):
    environment = os.environ | {
        "CXX": str(tmp_path / "no-compiler"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-c", WITHOUT_COMPILER, vit.name]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("is run uncompiled: torch.compile failed") == 1
    assert "hf:vit is run uncompiled" in run.stdout
    assert "`model.compile: off`" in run.stdout


@pytest.mark.parametrize(("given", "meant"), [(True, "on"), (False, "off"), ("auto", "auto"), ("on", "on")])
def test_yaml_reads_on_and_off_as_booleans(given, meant):
    assert ModelSettings(name="descriptor", compile=given).compile == meant


def test_other_values_of_compile_are_refused():
    with pytest.raises(ValidationError, match="'auto', 'on' or 'off'"):
        ModelSettings(name="descriptor", compile="yes")
