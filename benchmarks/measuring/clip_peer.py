"""clip-retrieval's `clip inference` over a folder, with a CLIP of ours. Part of throughput.py."""

import json
import subprocess
from pathlib import Path

BATCH = 64
"""clip-retrieval's own 256 would embed 512 images to warm up, and see few batches of these few images."""
WORKERS = 2


def clip_inference(
    python: Path, images: Path, model: Path, out: Path, batch: int = BATCH, workers: int = WORKERS
) -> float:
    """Return images per second of `clip-retrieval inference` by the interpreter `python`, by the figures it leaves.

    They begin when the model is loaded and warm. Raises RuntimeError with the reason if it fails.
    """
    options = {"input_dataset": images, "output_folder": out, "clip_model": f"hf_clip:{model}", "batch_size": batch}
    options |= {"enable_text": False, "num_prepro_workers": workers}
    call = "import sys; from clip_retrieval.cli import main; sys.argv[0] = 'clip-retrieval'; main()"
    command = [str(python), "-c", call, "inference", *(f"--{name}={value}" for name, value in options.items())]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"ended with {ended.returncode}: {lines[-1][:200]}")
    stats = json.loads((out / "stats" / "0.json").read_text())
    return float(stats["sample_count"] / stats["total_duration"])
