"""Does the adversarial part add anything to pseudo-labels? Learners on the same labels, on features of photographs.

    python benchmarks/adversarial_part.py data/photos/trash --seeds 10 --labels 20 30 50
    python benchmarks/adversarial_part.py data/photos/trash --unbalanced 0.7

The labelled images are the first query of ``centroids`` (k-means centres), of another stream for each seed; every
learner is trained once on them, with the preset of features, and measured on the test set: accuracy, mean −log
probability (nats) and expected calibration error of ten bins. ``--unbalanced`` thins out all classes but the largest,
of pool and test set, until that has this share of the images. Rows: ``adversarial-part.json``; the same command goes
on where it was stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from aral.acquisition import Need, select
from aral.benchmarking import Method, load_data, resolve
from aral.data import DataSet
from aral.randomness import Stream
from aral.representations.settings import EMBEDDED
from aral.types import ImageSet, LabelledSet
from kept_rows import KeptRows
from one_training import trained
from photo_goals import on

ARMS = {
    "linear": ("linear", ()),
    "pseudo-label": ("pseudo-label", ()),
    "aral": ("aral", ()),
    "aral:released": ("aral:released", ()),
    "aral:pseudo-labels": ("aral:pseudo-labels", ()),
    "aral:pseudo-labels, generated = 0": ("aral:pseudo-labels", ("learner.weights.generated=0",)),
    "aral:pseudo-labels, released": ("aral:pseudo-labels", ('learner.objective="released"',)),
}
"""Method and single settings of each learner."""


def unbalanced(data: DataSet, share: float) -> DataSet:
    """The largest class whole, the others thinned out evenly, the same way each time."""
    largest = int(np.bincount(data.pool_classes).argmax())

    def kept(classes: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(0)
        size = int((classes == largest).sum())
        each = max(3, round(size * (1 - share) / share / (data.class_count - 1)))
        parts = [
            np.flatnonzero(classes == k)
            if k == largest
            else rng.permutation(np.flatnonzero(classes == k))[:each]
            for k in range(data.class_count)
        ]
        return np.sort(np.concatenate(parts))

    pool, test = kept(data.pool_classes), kept(data.test.classes)
    test_images = ImageSet.of(data.test.images.pixels[torch.from_numpy(test)])
    return replace(
        data,
        pool=ImageSet.of(data.pool.pixels[torch.from_numpy(pool)]),
        pool_classes=data.pool_classes[pool],
        pool_files=(),
        test=LabelledSet(test_images, data.test.classes[test], data.class_count),
    )


def measured(data: DataSet, folder: str, arm: str, count: int, seed: int) -> dict[str, object]:
    """One learner, trained on one set of labels."""
    method, settings = ARMS[arm]
    spec = resolve(
        folder,
        Method.parse(f"{method}+random"),
        [*on(EMBEDDED), *settings],
        seed=seed,
        threads=1,
    )
    vectors = data.pool.pixels.flatten(1)
    chosen = select(vectors, count, strategy="centroids", seed=seed)
    ids = np.sort(chosen.ids)
    labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], data.class_count)
    stream = Stream.root(seed).child("adversarial part")
    begun = time.perf_counter()
    learner = trained(spec.learner, data, labelled, stream)
    seconds = time.perf_counter() - begun
    found = learner.predict(data.test.images, {Need.PROBABILITIES}, stream.child("passes"))
    probabilities, truth = found.get(Need.PROBABILITIES).double().numpy(), data.test.classes
    right = probabilities.argmax(axis=1) == truth
    likelihood = probabilities[np.arange(truth.size), truth]
    return {
        "classes_seen": int(np.unique(labelled.classes).size),
        "accuracy": round(float(right.mean()), 4),
        "nll": round(float(-np.log(np.clip(likelihood, 1e-12, 1)).mean()), 4),
        "ece": round(calibration_error(probabilities.max(axis=1), right), 4),
        "seconds": round(seconds, 2),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Mean difference between confidence and accuracy in bins of equal width, weighted by their images."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(right[place == k].mean() - confidence[place == k].mean()) * (place == k).mean()
            for k in range(bins)
            if (place == k).any()
        )
    )


def table(rows: Sequence[dict[str, object]]) -> str:
    """Accuracy in percent and −log probability, mean ± standard deviation over seeds, as Markdown."""
    counts = sorted({int(str(row["labels"])) for row in rows})
    folders = sorted({str(row["folder"]) for row in rows})
    lines = ["| folder | learner | " + " | ".join(f"{n} labels" for n in counts) + " |"]
    lines.append("|" + "---|" * (2 + len(counts)))
    for folder in folders:
        for arm in ARMS:
            cells = []
            for count in counts:
                of = [r for r in rows if (r["folder"], r["learner"], r["labels"]) == (folder, arm, count)]
                accuracy, nll = (np.array([float(str(r[name])) for r in of]) for name in ("accuracy", "nll"))
                if not of:
                    cells.append("–")
                    continue
                deviation = f" ± {100 * accuracy.std(ddof=1):.1f}" if len(of) > 1 else ""
                cells.append(f"{100 * accuracy.mean():.1f}{deviation} ({nll.mean():.2f})")
            lines.append(f"| {folder} | `{arm}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is not there yet, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="folder of class folders, with train/ and test/")
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 30, 50])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--unbalanced", type=float, help="share of the largest class")
    parser.add_argument("--learners", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--rows", default="adversarial-part")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = KeptRows(given.rows)
    data = load_data(resolve(given.folder, Method.parse("linear+random"), on(EMBEDDED)))
    name = Path(given.folder).name
    if given.unbalanced:
        data, name = unbalanced(data, given.unbalanced), f"{name}, {given.unbalanced:.0%} one class"
    for seed in range(given.seeds):
        for count in given.labels:
            for arm in given.learners:
                key = {"folder": name, "labels": count, "seed": seed, "learner": arm}
                if not kept.has(key):
                    kept.keep(key, measured(data, given.folder, arm, count, seed))
    print(table(kept.rows))


if __name__ == "__main__":
    main()
