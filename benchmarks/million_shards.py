"""Queries of a large pool in shards by ``aral select``: features once, then each strategy; seconds and memory.

    python benchmarks/million_shards.py --images 1000000 --shards 50 --folder /data/million-shards

The pool is written once: varied 8×8 digits as JPEG files of 28×28 pixels, in Parquet files of equal length. The first
command computes features (representation ``gradients``: a pretrained backbone would need hours of a processor) and
draws at random; the others find the features. Strategies that need a classifier get the labels of 100 images. A
command that has a row is not repeated. Rows go to results/million-shards.json.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from kept_rows import KeptRows
from photo_folders import varied_digits

LABELS = 100
READS_LABELS = ("margin", "uncertainty-herding")
STRATEGIES = ("random", "margin", "core-set", "maxherding", "uncertainty-herding")


def write_shards(folder: Path, images: int, shards: int) -> None:
    """``folder/pool/*.parquet`` and ``folder/labels.csv`` of the first images; a shard that is there is kept."""
    place = folder / "pool"
    place.mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        shard = place / f"{number:04d}.parquet"
        if shard.exists():
            continue
        first, length = number * (images // shards), images // shards
        keys, names, files = [], [], []
        for place_in_shard, (pixels, name) in enumerate(varied_digits(length, number)):
            encoded = io.BytesIO()
            Image.fromarray(pixels).save(encoded, "JPEG", quality=90)
            keys.append(f"{first + place_in_shard:08d}")
            names.append(name)
            files.append(encoded.getvalue())
        if number == 0:
            lines = [f"{key},{name}" for key, name in zip(keys[:LABELS], names, strict=False)]
            (folder / "labels.csv").write_text("\n".join(["key,label", *lines, ""]))
        partial = shard.with_suffix(f".tmp-{os.getpid()}")
        pq.write_table(pa.table({"key": keys, "image": files}), partial)
        partial.replace(shard)


def selected(folder: Path, strategy: str, n: int, workers: int) -> dict[str, object]:
    """One command; its seconds, and the most resident memory of any of its processes."""
    words = [
        sys.executable,
        "-m",
        "aral",
        "select",
        str(folder / "pool"),
        f"--n={n}",
        f"--strategy={strategy}",
    ]
    words += ["--representation=gradients", f"--features={folder / 'features'}", f"--workers={workers}"]
    words += [f"--labels={folder / 'labels.csv'}"] if strategy in READS_LABELS else []
    out = folder / f"{strategy}-{n}.csv"
    begun = time.monotonic()
    subprocess.run([*words, f"--out={out}"], check=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "processor seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "megabytes of the largest process": round(usage.ru_maxrss / 1024),
        "chosen": len(out.read_text().splitlines()) - 1,
    }


def main(given: Sequence[str] | None = None) -> None:
    """Write the shards, then each command that has no row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=50)
    parser.add_argument("--folder", type=Path, required=True, help="gets the shards and their features")
    parser.add_argument("--n", type=int, default=1000, help="images of a query")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--kept", default="million-shards", help="name of the file of rows, or a .json path")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args(given)
    if asked.one:
        print(json.dumps(selected(asked.folder, asked.one, asked.n, asked.workers)))
        return
    if asked.images % asked.shards:
        parser.error("--images must be a multiple of --shards")
    write_shards(asked.folder, asked.images, asked.shards)
    rows = KeptRows(asked.kept)
    for strategy in asked.strategies:
        key = {"images": asked.images, "shards": asked.shards, "strategy": strategy, "n": asked.n}
        if rows.has(key):
            continue
        ready = len(list((asked.folder / "features").rglob("*.npy"))) >= asked.shards
        words = [sys.executable, __file__, f"--one={strategy}", f"--folder={asked.folder}", f"--n={asked.n}"]
        # A process of its own: the figures of a process's children add up over all that have ended.
        found = subprocess.run(
            [*words, f"--workers={asked.workers}"], check=True, stdout=subprocess.PIPE, text=True
        )
        values = json.loads(found.stdout.splitlines()[-1])
        rows.keep(key, {**values, "workers": asked.workers, "features were there": ready})


if __name__ == "__main__":
    main()
