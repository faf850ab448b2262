"""Seconds of a query on a large pool, for the acquisitions that compare images with each other.

    python benchmarks/acquisition_speed.py

Features are Gaussian clusters, as many as classes; Monte-Carlo passes are those of a linear classifier with random
weights on them, so images share their uncertainty as those of a network do. Nothing is trained. Processor seconds are
given beside seconds, for a machine that does other work too. Rows go to results/acquisition-speed.json; a row names the
commit of the package that was measured, which may be another one than this script's:

    PYTHONPATH=OTHER/src python benchmarks/acquisition_speed.py
"""

from __future__ import annotations

import argparse
import subprocess
import time
from pathlib import Path

import numpy as np
import torch

import aral
from aral.acquisition import Need, PoolView, Predictions, make_acquisition
from aral.randomness import Stream
from kept_rows import KeptRows

CLASSES, PASSES, FEATURES = 10, 20, 128
CASES = (
    ("batchbald", 10_000, 10, 0),
    ("batchbald", 10_000, 100, 0),
    ("batchbald", 50_000, 100, 0),
    ("typiclust", 10_000, 100, 100),
    ("typiclust", 50_000, 10, 0),
    ("typiclust", 50_000, 100, 100),
    ("typiclust", 50_000, 100, 400),
)
"""Acquisition, images in the pool, query size, labelled images."""


def pool_of(images: int, labelled: int, passes: bool) -> PoolView:
    """A pool whose unlabelled images have features and, if wanted, Monte-Carlo passes."""
    numbers = Stream.root(0).torch()
    centres = torch.randn(CLASSES, FEATURES, generator=numbers)
    classes = torch.arange(images + labelled) % CLASSES
    features = centres[classes] + torch.randn(images + labelled, FEATURES, generator=numbers)
    outputs = {Need.FEATURES: features}
    if passes:
        weights = 0.2 * centres.T + 0.3 * torch.randn(PASSES, FEATURES, CLASSES, generator=numbers)
        logits = torch.einsum("nf,mfk->nmk", features, weights)
        outputs[Need.MC_PROBABILITIES] = logits.softmax(dim=2)
    ids = np.arange(images + labelled, dtype=np.int64)
    known = Predictions(ids, outputs)
    return PoolView(
        known.rows(ids[labelled:]), known.rows(ids[:labelled]), classes[:labelled].numpy(), CLASSES
    )


def measured_commit() -> str:
    """The commit of the package that is imported."""
    place = Path(aral.__file__).parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=place, check=False
    )
    return done.stdout.strip()


def main() -> None:
    """Measure every case and keep its row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="cases whose acquisition begins with this")
    parser.add_argument("--out", default="acquisition-speed", help="name of the file of rows, or a path")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept, package = KeptRows(arguments.out), measured_commit()
    for name, images, query_size, labelled in CASES:
        if not name.startswith(arguments.only):
            continue
        acquisition, pool = make_acquisition(name), pool_of(images, labelled, name == "batchbald")
        acquisition(pool_of(100, 0, name == "batchbald"), 2, Stream.root(1))  # imports what it uses
        began, worked = time.perf_counter(), time.process_time()
        chosen = acquisition(pool, query_size, Stream.root(1))
        key = {
            "acquisition": name,
            "images": images,
            "query_size": query_size,
            "labelled": labelled,
            "package": package,
        }
        kept.keep(
            key,
            {
                "seconds": round(time.perf_counter() - began, 2),
                "processor_seconds": round(time.process_time() - worked, 2),
                "score_sum": round(float(chosen.scores.sum()), 4),
            },
        )


if __name__ == "__main__":
    main()
