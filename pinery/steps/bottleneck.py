"""What a run waited for, and what would make it faster."""

from collections.abc import Mapping

EMBEDDING = ("infer", "decode", "fetch")
"""The stages inside of `embed`."""
ADVICE = {
    "fetch": "a higher run.fetch_threads, or a machine nearer to the images, would move it",
    "decode": "more cores or workers (runner.workers), or model.decode: scaled, would move it",
    "infer": "a GPU or more of them, model.precision: bf16, or a smaller model would move it",
    "upsert": "a higher upsert.max_concurrency, or upsert.load: import, would move it",
    "list": "nothing but a narrower source would move it much: all items are listed every time",
    "plan": "a quieter disk would move it: plans are joins over the listing, the checkpoint and the ledger",
    "verify": "the index shows its writes late; that passes by itself",
    "delete": "a higher upsert.max_concurrency would move it",
}
"""What would make each stage shorter, as the end of a sentence."""


def bottleneck(seconds: Mapping[str, float]) -> str:
    """Return which stage the run waited for: `fetch`, `decode`, `infer`, `upsert`, another stage's name, or `none`.

    `fetch`, `decode` and `infer` are in `embed`, as the mean over the threads that do each; the others are wall time.
    """
    embedding = {name: seconds.get(name, 0.0) for name in EMBEDDING}
    stages = {name: value for name, value in seconds.items() if name not in embedding}
    slowest = max(stages, key=lambda name: stages[name], default="none")
    if slowest != "embed" or not seconds["embed"]:
        return slowest
    return max(embedding, key=lambda name: embedding[name])


def shares(seconds: Mapping[str, float], wall: float) -> dict[str, float]:
    """Return the share of each stage in `wall` seconds; of `fetch`, `decode` and `infer`, in those of `embed`."""
    wholes = {name: seconds.get("embed", 0.0) if name in EMBEDDING else wall for name in seconds}
    return {name: round(value / wholes[name], 3) for name, value in seconds.items() if wholes[name] > 0}


def bottleneck_line(seconds: Mapping[str, float], wall: float) -> str:
    """Return one sentence that names what the run waited for in its `wall` seconds, and what would move that.

    It is empty where the run was too short to say.
    """
    name = bottleneck(seconds)
    if name == "none" or wall < 1:
        return ""
    inside = name in EMBEDDING
    share = shares(seconds, wall).get(name, 0.0)
    whole = "embedding" if inside else "the run"
    advice = ADVICE.get(name)
    return f"{name} took {share:.0%} of {whole}" + (f"; {advice}." if advice else ".")
