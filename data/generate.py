"""Paints the sample corpus: small JPEGs of eight kinds, the same pixels for the same seed; and the demo's query.

python data/generate.py [--out DIR] [--count N] [--seed S]
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from painters import PAINTERS, image_of

QUALITY = 82
DATA = Path(__file__).parent
QUERY_KIND, QUERY_NUMBER, QUERY_SEED = "sunset", 10, 8
"""The demo's query: another seed than the sample's, so that the corpus doesn't hold it."""


def save(n: int, count: int, seed: int, out: Path) -> None:
    """Write image `n` of `count` as `<label>-<number>.jpg` to `out`; the kinds take turns."""
    number, kind = divmod(n, len(PAINTERS))
    digits = max(2, len(str((count - 1) // len(PAINTERS))))
    path = out / f"{PAINTERS[kind].__name__}-{number:0{digits}}.jpg"
    image_of(kind, number, seed).save(path, "JPEG", quality=QUALITY, optimize=True)


def generate(out: Path, count: int, seed: int) -> None:
    """Write `count` images to `out`, on all cores."""
    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(save, count=count, seed=seed, out=out), range(count), chunksize=32):
            pass


def paint_query(path: Path) -> None:
    """Write the demo's query, a sunset that is not in the sample corpus."""
    kinds = [painter.__name__ for painter in PAINTERS]
    image = image_of(kinds.index(QUERY_KIND), QUERY_NUMBER, QUERY_SEED)
    image.save(path, "JPEG", quality=QUALITY, optimize=True)


def main() -> None:
    """Parse the arguments and generate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DATA / "sample", help="default: data/sample")
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    if given.count < 1:
        parser.error("--count must be 1 or more")
    start = time.perf_counter()
    generate(given.out, given.count, given.seed)
    if given.out == DATA / "sample":
        paint_query(DATA / "query.jpg")
    size = sum(path.stat().st_size for path in given.out.glob("*.jpg"))
    print(
        f"{given.count} images, {size / 1000:.0f} kB, in {given.out} ({time.perf_counter() - start:.1f} s)",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
