"""Images per second from JPEG files to a verified index: Pinery beside the model alone and beside other ways.

python benchmarks/throughput.py [--images N] [--rounds N] [--ray-python PATH] [--clip-retrieval-python PATH]
python benchmarks/throughput.py --gpu [--models NAME ...]    another page (see measuring/throughput_gpu.py)

Each contestant is a process of its own with the same environment, and has its turn in every round. Weights are random:
they change no speed. Ray Data and clip-retrieval need environments of their own, whose interpreters are given here.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from measuring import judging
from measuring.child import child
from measuring.clip_peer import clip_inference
from measuring.judging import Round
from measuring.machine import keep
from measuring.pictures import save_clip, save_torchvision, write_jpegs
from measuring.whole_run import Whole, whole_run
from notebook_loop import BATCH as NOTEBOOK_BATCH

from pinery.run_settings import RunSettings

NETWORK = "squeezenet1_1"
DECODERS = ("auto", "scaled", "cuda")
GPU_MODELS = ("squeezenet1_1", "resnet50", "clip", "clip-l")
WAYS = {"uncompiled": "off", "compiled": "on"}


def say(*what: object) -> None:
    """Print progress, and the machine's load: a loaded machine makes no figures to keep."""
    print(*what, f"[load {os.getloadavg()[0]:.1f}]", file=sys.stderr, flush=True)


def cpu_seconds() -> tuple[float, float, float]:
    """Return the CPU seconds of all processes, those of this one and its ended children, and the time."""
    times = psutil.cpu_times()
    used = sum(times[:3]) + sum(getattr(times, kind, 0.0) for kind in ("irq", "softirq"))
    return used, sum(os.times()[:4]), time.monotonic()


def subset(images: Path, folder: Path, count: int) -> Path:
    """Return a folder with the first of the images."""
    folder.mkdir()
    for path in sorted(images.iterdir())[:count]:
        os.link(path, folder / path.name)
    return folder


def one_round(images: Path, folder: Path, weights: dict[str, Any], given: argparse.Namespace) -> Round:
    """Return every contestant's turn."""
    began = cpu_seconds()
    alone = ("ceilings.py", NETWORK, "--seconds", given.seconds)
    ceilings, best = (
        child(Path(sys.executable), *alone),
        child(Path(sys.executable), *alone, "--batch", 16, "--as-pinery"),
    )
    say(ceilings, best)
    runs: dict[str, Whole] = {}
    for way, setting in WAYS.items():
        runs[way] = whole_run(images, folder / way, folder.parent, {**weights, "compile": setting}, given.part_rows)
        say(way, f"{runs[way].steady:.0f} images/s", runs[way].report["seconds"])
    arguments = (images, weights["weights"], "--images", given.subset)
    notebook = child(Path(sys.executable), "notebook_loop.py", *arguments)
    say(notebook)
    used, own, wall = (after - before for before, after in zip(began, cpu_seconds(), strict=True))
    return Round(ceilings, best, runs, notebook, others=(used - own) / (wall * len(os.sched_getaffinity(0))))


def ray_rates(python: Path | None, images: Path, weights: str, folder: Path) -> dict[str, float] | str:
    """Return Ray Data's images per second in fp32 and bf16, or why there are none."""
    if python is None:
        return "not measured: no interpreter was given"
    rates = {}
    for precision, flags in {"fp32": (), "bf16": ("--bf16",)}.items():
        try:
            measured = child(python, "ray_data.py", images, weights, folder / f"ray-{precision}", *flags)
        except SystemExit as failed:
            return f"not measured: {str(failed).strip().splitlines()[-1]}"
        say("Ray Data", precision, measured)
        rates[precision] = measured["rate"]
    return rates


def clip_rates(python: Path | None, images: Path, folder: Path, count: int) -> dict[str, float] | str:
    """Return images per second of clip-retrieval, and of Pinery with the same CLIP, or why there are none."""
    if python is None:
        return "not measured: no interpreter was given"
    model = save_clip("ViT-B/32", folder)
    try:
        theirs = clip_inference(python, images, model, folder / "clip-retrieval")
    except (RuntimeError, OSError) as failed:
        return f"not measured: clip-retrieval {failed}"
    rates = {"clip-retrieval": theirs}
    say(rates)
    for precision in ("fp32", "auto"):
        settings = {"name": f"clip:{model}", "precision": precision}
        whole = whole_run(images, folder / f"clip-{precision}", folder, settings, max(1, count // 3))
        rates[f"Pinery, {whole.report['precision']} ({precision})"] = whole.steady
        say(rates)
    return rates


def options() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32_768, help="of a run; default: 32,768, two parts")
    parser.add_argument("--part-rows", type=int, help="items of a part; default: Pinery's own")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; default: 3")
    parser.add_argument("--subset", type=int, default=1_200, help="images for the slow peers; default: 1,200")
    parser.add_argument("--seconds", type=float, default=5, help="for each variant of the model alone; default: 5")
    parser.add_argument("--ray-python", type=Path, help="an interpreter with torch, torchvision and ray[data]")
    parser.add_argument("--clip-retrieval-python", type=Path, help="an interpreter with clip-retrieval")
    parser.add_argument("--gpu", action="store_true", help="measure a CUDA device instead; 2 without one")
    parser.add_argument("--models", nargs="+", default=GPU_MODELS, choices=GPU_MODELS, help="on a GPU; default: all")
    parser.add_argument("--decode", nargs="+", default=["auto"], choices=DECODERS, help="on a GPU; default: auto")
    parser.add_argument("--minutes", type=float, default=5, help="on a GPU, for the whole page; default: 5")
    given = parser.parse_args()
    given.rows = given.part_rows or RunSettings().part_rows
    if given.images <= given.rows:
        parser.error(
            f"--images {given.images} make one part; more than {given.rows} are needed, or smaller --part-rows"
        )
    if given.subset <= NOTEBOOK_BATCH or given.subset > given.images:
        parser.error(f"--subset {given.subset} must be over {NOTEBOOK_BATCH} and at most --images ({given.images})")
    for python in (given.ray_python, given.clip_retrieval_python):
        if python is not None and not os.access(python, os.X_OK):
            parser.error(f"{python} can't be run; give the path of a Python interpreter")
    return given


def measure(given: argparse.Namespace, folder: Path) -> str:
    """Return all rounds and peers; the page."""
    images = folder / "images"
    write_jpegs(images, given.images)
    weights = save_torchvision(NETWORK, folder)
    few = subset(images, folder / "few", given.subset)
    # Pinery has run before on most machines: the first run ever makes a template of Prefect's database.
    whole_run(few, folder / "before", folder, {"name": "descriptor"}, max(1, given.subset // 2))
    say("images written")
    rounds = []
    for number in range(given.rounds):
        place = folder / f"round-{number}"
        place.mkdir()
        rounds.append(one_round(images, place, weights, given))
    ray = ray_rates(given.ray_python, subset(images, folder / "ray", 4 * given.subset), weights["weights"], folder)
    clip = clip_rates(given.clip_retrieval_python, few, folder, given.subset)
    return judging.page(rounds, ray, clip, given)


def main() -> None:
    """Measure, print and keep the page."""
    given = options()
    if given.gpu:
        from measuring.throughput_gpu import main as on_gpu

        on_gpu(given)
        return
    with tempfile.TemporaryDirectory(prefix="pinery-throughput-") as folder:
        body = measure(given, Path(folder))
    packages = ["torch", "torchvision", "pillow", "prefect", "pyarrow", "lancedb"]
    keep("throughput", "Throughput", packages, body)


if __name__ == "__main__":
    main()
