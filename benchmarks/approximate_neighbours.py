"""Time, memory and recall of nearest neighbours: exact, and by the index of the extra ``neighbours``.

    pip install 'aral[neighbours]'
    python benchmarks/approximate_neighbours.py --images 60000
    python benchmarks/approximate_neighbours.py --images 1000000 --recalls 0.9,0.95

The vectors are those of the neighbour graph: 50 principal components, half whitened, of the features of the pools of
``pool_scale.py``, of which the first 20,000 images decide the components; ten neighbours an image. Each search is a
process of its own on one thread. ``reached`` is the recall on the index's own sample, ``checked`` that on another 500
images. Rows go to results/approximate-neighbours.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acquisition_speed import measured_commit
from aral.neighbours import _exact, find_neighbours
from aral.randomness import Stream
from aral.representations import half_whitened
from kept_rows import KeptRows
from pool_scale import Memory, write_pool

COMPONENTS, COUNT, CHECKED = 50, 10, 500


def vectors_of(place: Path) -> torch.Tensor:
    """Half-whitened principal components, N×50."""
    features = np.load(place / "features.npy", mmap_mode="r")
    part = features[:20_000].astype(np.float64)
    mean = part.mean(axis=0)
    axes = np.linalg.eigh(np.cov(part - mean, rowvar=False))[1][:, ::-1][:, :COMPONENTS]
    blocks = [
        (features[start : start + 20_000].astype(np.float32) - mean.astype(np.float32))
        @ axes.astype(np.float32)
        for start in range(0, len(features), 20_000)
    ]
    return half_whitened(torch.from_numpy(np.concatenate(blocks)))


def measure(place: Path, recall: float) -> dict[str, object]:
    """One search."""
    torch.set_num_threads(1)
    vectors = vectors_of(place)
    find_neighbours(vectors[:1500], COUNT, min(recall, 0.9), Stream.root(0))  # imports what it uses
    began, worked = time.perf_counter(), time.process_time()
    with Memory() as memory:
        found = find_neighbours(vectors, COUNT, recall, Stream.root(1))
        seconds, processor = time.perf_counter() - began, time.process_time() - worked
    rows = np.random.default_rng(7).permutation(len(vectors))[:CHECKED]
    true, _ = _exact(vectors, rows, COUNT)
    share = np.mean([np.isin(mine, best).mean() for mine, best in zip(found.rows[rows], true, strict=True)])
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "added_gib": round(memory.added, 2),
        "reached": round(found.recall, 4),
        "checked": round(float(share), 4),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for each search."""
    lines = [
        "| images | recall asked for | seconds | GiB | recall reached | of 500 other images |",
        "|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda each: (each["images"], -each["recall"])):
        asked = "1 (exact)" if row["recall"] == 1 else f"{row['recall']:g}"
        head = f"| {row['images']:,} | {asked} |"
        if row["outcome"] != "done":
            lines.append(f"{head} {row['outcome']} | – | – | – |")
            continue
        figures = f"{row['processor_seconds']:.3g} | {row['added_gib']:.2f} | {row['reached']:.3f}"
        lines.append(f"{head} {figures} | {row['checked']:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the searches that are not kept yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", default="60000", help="sizes of the pool")
    parser.add_argument("--recalls", default="1,0.9,0.95,0.99", help="1: exact")
    parser.add_argument("--seconds", type=float, default=600, help="limit of a search")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "aral-pools")
    parser.add_argument("--out", default="approximate-neighbours", help="name of the file of rows, or a path")
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        place, recall = json.loads(arguments.case)
        print(json.dumps(measure(Path(place), recall)))
        return
    kept = KeptRows(arguments.out)
    if arguments.table:
        print(table(kept.rows))
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for images in map(int, arguments.images.split(",")):
        place = write_pool(arguments.folder, images, 512)
        for recall in map(float, arguments.recalls.split(",")):
            key = {"images": images, "recall": recall}
            if kept.has(key):
                continue
            words = [sys.executable, __file__, "--case", json.dumps([str(place), recall])]
            try:
                done = subprocess.run(
                    words,
                    capture_output=True,
                    text=True,
                    timeout=arguments.seconds,
                    env=environment,
                    check=True,
                )
            except subprocess.TimeoutExpired:
                kept.keep(key, {"outcome": f"over {arguments.seconds:g} s", "package": measured_commit()})
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            kept.keep(key, {"outcome": "done", **found, "package": measured_commit()})


if __name__ == "__main__":
    main()
