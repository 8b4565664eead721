"""The page of the throughput benchmark: tables of its rounds, and which bars hold. Part of throughput.py."""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from measuring.machine import table
from measuring.whole_run import Whole

OF_CEILING = 0.90
OF_NOTEBOOK = {"uncompiled": 3.5, "compiled": 5.0}
REST = 0.05
QUIET = 0.1
"""The share of the CPU that processes of others may take: beside more than that, no bar is judged."""
CEILINGS = {
    ("fp32", "uncompiled"): "fp32, channels last",
    ("bf16", "uncompiled"): "bf16 weights",
    ("fp32", "compiled"): "fp32, channels last, compiled",
    ("bf16", "compiled"): "bf16 weights, compiled",
}
BUSY = f"""Not judged, because other processes took more than {QUIET:.0%} of the CPU. A network on two threads
waits for both at each of its layers, so that on a busy machine the model alone and the notebook loop lose more than a
run does, which has other work to do meanwhile: the ratios above flatter the run. Repeat the command on a quiet
machine."""
NO_GPU = """## GPU: not measured, no GPU was at hand

`python benchmarks/throughput.py --gpu` measures squeezenet1_1, resnet50, CLIP ViT-B/32 and ViT-L/14 on a CUDA device,
decoded as `auto` chooses: the model alone, decoding alone, from files to Parquet, how busy the device was, and beside
them a DataLoader with a process for each core, and Ray Data. It needs no Prefect, DuckDB or LanceDB.
Without a device it says so and ends with 2."""


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of every contestant: images per second, and Pinery's runs by whether they were compiled."""

    ceilings: dict[str, float]
    best: dict[str, float]
    """The same as Pinery runs it: a batch for each core, in a process that keeps the memory it has freed."""
    runs: dict[str, Whole]
    notebook: dict[str, float]
    others: float
    """The share of the CPU that processes of others took meanwhile."""

    def of_ceiling(self, way: str, ceilings: dict[str, float]) -> float:
        """Return the run's steady rate by that of the model alone, in the precision and the mode of that run."""
        return self.runs[way].steady / ceilings[CEILINGS[self.runs[way].report["precision"], way]]

    def whole_rate(self, way: str) -> float:
        """Return images per second from the start of the process to its end."""
        run = self.runs[way]
        return float(run.report["embedded"] / run.wall)


def spread(values: Sequence[float], form: str = ",.0f") -> list[str]:
    """Return the median, the lowest and the highest figure as text."""
    return [format(value, form) for value in (statistics.median(values), min(values), max(values))]


def page(
    rounds: list[Round], ray: dict[str, float] | str, clip: dict[str, float] | str, given: argparse.Namespace
) -> str:
    """Return the body of the results."""
    chosen = " and ".join(sorted({run.report["precision"] for one in rounds for run in one.runs.values()}))
    others = ", ".join(f"{one.others:.0%}" for one in rounds)
    about = (
        f"{given.images:,} distinct JPEGs of 224 x 224 pixels (photo-like noise, 7 KB each) through squeezenet1_1 with"
        " random weights by `pinery run`, in a process of its own from nothing to a verified index in Lance, parts of"
        f" {given.rows:,}; `auto` chose {chosen}. `compile: auto` tries from 100,000 images on; compilation"
        " started from nothing in every run. The model alone has random pixels in memory, laid out as it wants them,"
        " as PyTorch comes, which is one batch of 32 on all cores in a process whose C library returns what each layer"
        " frees to the system; and as Pinery runs it, which is a batch of 16 for each core, in a process that keeps"
        " that memory (`pinery/embedding/runner.py`, `pinery/allocator.py`). The notebook loop is"
        " torchvision's squeezenet1_1 in fp32 with its weights' transforms, a"
        " DataLoader without workers, batches of 200, and `.tolist()` of every vector; its rate is constant, so it had"
        f" {given.subset:,} images, the first batch not counted. Each is a process of its own with the same"
        f" environment. Medians, lowest and highest of {given.rounds} rounds in which each had its turn; ratios are"
        f" taken within a round. Other processes took {others} of the CPU during them."
    )
    parts = [
        about,
        "## The bars",
        bars(rounds),
        "## Images per second",
        rates(rounds),
        ray_table(ray, given),
        "## Where a run's time goes",
        times(rounds),
        "## CLIP ViT-B/32",
        clip_table(clip, given),
        NO_GPU,
    ]
    return "\n\n".join(parts)


def bars(rounds: list[Round]) -> str:
    """Return each bar, and whether the medians reach it."""
    rows = []
    quiet = max(one.others for one in rounds) <= QUIET

    def judge(what: str, bar: float, measured: Callable[[Round], float], *, most: bool = False, form: str) -> None:
        values = [measured(one) for one in rounds]
        median = statistics.median(values)
        holds = median <= bar if most else median >= bar
        limit = f"{'≤' if most else '≥'} {format(bar, form)}"
        verdict = ("yes" if holds else "**no**") if quiet else "not judged"
        rows.append([what, limit, *spread(values, form), verdict])

    for way, times_notebook in OF_NOTEBOOK.items():
        steady = f"{way}: steady state ÷ the model alone in its precision and mode"
        judge(steady, OF_CEILING, lambda one, way=way: one.of_ceiling(way, one.ceilings), form=".2f")
        steady = f"{way}: the same, where the model alone is run as Pinery runs it"
        judge(steady, OF_CEILING, lambda one, way=way: one.of_ceiling(way, one.best), form=".2f")
        whole = f"{way}: whole run, start-up and all ÷ notebook loop on the same JPEGs"
        ratio = lambda one, way=way: one.whole_rate(way) / one.notebook["jpeg"]  # noqa: E731
        judge(whole, times_notebook, ratio, form=".1f")
    for way in OF_NOTEBOOK:
        rest = f"{way}: share of the run that isn't embedding, once started"
        judge(rest, REST, lambda one, way=way: one.runs[way].rest_once_started, most=True, form=".1%")
        rest = f"{way}: the same with the start of the process"
        judge(rest, REST, lambda one, way=way: one.runs[way].rest, most=True, form=".1%")
    found = table(["bar", "limit", "median", "lowest", "highest", "holds"], rows)
    return found if quiet else f"{found}\n\n{BUSY}"


def rates(rounds: list[Round]) -> str:
    """Return images per second of all that had a turn in every round."""
    alone: dict[str, Callable[[Round], dict[str, float]]] = {
        "": lambda one: one.ceilings,
        "; as Pinery runs it": lambda one: one.best,
    }
    rows = [
        [f"the model alone, {label}{how}", *spread([of(one)[label] for one in rounds])]
        for how, of in alone.items()
        for label in rounds[0].ceilings
    ]
    for way in OF_NOTEBOOK:
        rows.append([f"Pinery, {way}, steady state", *spread([one.runs[way].steady for one in rounds])])
        rows.append([f"Pinery, {way}, the whole run", *spread([one.whole_rate(way) for one in rounds])])
    names = {"jpeg": "the same JPEGs", "cifar": "32 x 32 images in memory, as CIFAR's"}
    for key, name in names.items():
        rows.append([f"notebook loop, {name}", *spread([one.notebook[key] for one in rounds])])
    return table(["", "median", "lowest", "highest"], rows)


def times(rounds: list[Round]) -> str:
    """Return seconds of a run by what happened in them, and shares."""
    figures: dict[str, tuple[Callable[[Whole], float], str]] = {
        "the whole process": (lambda run: run.wall, ",.1f"),
        "start: imports, Prefect's server, the model's card": (lambda run: run.start, ",.1f"),
        "list and plan": (lambda run: run.before, ",.1f"),
        "embedding": (lambda run: run.embedding, ",.1f"),
        "of it loading, compiling, finding a batch size": (lambda run: run.warm_up, ",.1f"),
        "of it the model at work": (lambda run: run.infer, ".1%"),
        "upserting, beside the embedding": (lambda run: run.report["seconds"]["upsert"], ",.1f"),
        "after the last part: its upsert, verify, report, end": (lambda run: run.after, ",.1f"),
    }
    rows = []
    for name, (figure, form) in figures.items():
        both = [[figure(one.runs[way]) for one in rounds] for way in OF_NOTEBOOK]
        rows.append([name, *(cell for values in both for cell in spread(values, form))])
    head = ["seconds", *(f"{way}{edge}" for way in OF_NOTEBOOK for edge in (", median", ", lowest", ", highest"))]
    return table(head, rows)


def ray_table(ray: dict[str, float] | str, given: argparse.Namespace) -> str:
    """Return Ray Data's figures, or why there are none."""
    if isinstance(ray, str):
        return f"Ray Data: {ray}."
    rows = [[f"Ray Data, {precision}", f"{rate:,.0f}"] for precision, rate in ray.items()]
    about = (
        f"Ray Data: `read_images`, `map_batches` (channels last, an actor of one thread for each core),"
        f" `write_parquet` over {4 * given.subset:,} of the JPEGs, once, from the end of the first batch to that of"
        " the last; there is no index behind it."
    )
    return f"{about}\n\n{table(['', 'images/s'], rows)}"


def clip_table(clip: dict[str, float] | str, given: argparse.Namespace) -> str:
    """Return clip-retrieval's figures, or why there are none."""
    if isinstance(clip, str):
        return f"clip-retrieval: {clip}."
    about = (
        f"`clip-retrieval inference` of {given.subset:,} of the JPEGs with a CLIP of random weights from a folder"
        " (`hf_clip:`), images alone, two workers, batches of 64, once the model is loaded and warm; and `pinery run`"
        " over the same in steady state. Once each."
    )
    return f"{about}\n\n{table(['', 'images/s'], [[name, f'{rate:,.1f}'] for name, rate in clip.items()])}"
