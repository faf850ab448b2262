"""What an ensemble over seeds and a cross-validated temperature are worth for ``pseudo-label`` on features.

    python benchmarks/ensembles.py data/photos/trash data/photos/sign-digits --labels 30 100 --seeds 3

On a quarter of the pool that is held out; labels are the first query of ``centroids``, another one for each seed. A row
has, for one network (the mean over the members), for the mean probabilities of five networks, and for one network whose
logits are divided by a temperature, accuracy, mean −log probability (nats) and expected calibration error. The
temperature has the smallest cross-entropy of labels that are left out in three folds, as the folds of a project are.
Rows: ``ensembles.json``; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from adversarial_part import calibration_error
from aral.acquisition import Need, select
from aral.annotation.refinement import folds
from aral.benchmarking import Method, load_data, resolve
from aral.data import DataSet
from aral.learners import LearnerSettings
from aral.logistic import TEMPERATURES, cross_entropy_of
from aral.randomness import Stream
from aral.representations.settings import EMBEDDED
from aral.types import ImageSet, LabelledSet
from kept_rows import KeptRows
from one_training import trained
from photo_goals import held_out, on

MEMBERS, FOLDS = 5, 3


def log_probabilities(
    settings: LearnerSettings, data: DataSet, labelled: LabelledSet, images: ImageSet, stream: Stream
) -> np.ndarray:
    """Of images, by a learner trained on the labels."""
    learner = trained(settings, data, labelled, stream)
    found = learner.predict(images, {Need.PROBABILITIES}, stream.child("passes")).get(Need.PROBABILITIES)
    return np.log(np.clip(found.double().numpy(), 1e-12, 1))


def temperature(settings: LearnerSettings, data: DataSet, labelled: LabelledSet, stream: Stream) -> float:
    """By the labels that are left out in turn."""
    logs, truth = [], []
    for number, held in enumerate(folds(labelled.classes, FOLDS, stream.child("folds"))):
        kept = np.setdiff1d(np.arange(len(labelled)), held)
        ids = labelled.images.ids
        rest = LabelledSet(data.pool.subset(ids[kept]), labelled.classes[kept], labelled.class_count)
        out = data.pool.subset(ids[held])
        logs.append(log_probabilities(settings, data, rest, out, stream.child("fold", number)))
        truth.append(labelled.classes[held])
    found, classes = np.concatenate(logs), np.concatenate(truth)
    best = minimize_scalar(
        lambda log_t: cross_entropy_of(found / np.exp(log_t), classes),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
    )
    return float(np.exp(best.x))


def figures(name: str, logs: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Accuracy, −log probability and calibration error of normalised or other logits."""
    probabilities = np.exp(logs - logs.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    right = probabilities.argmax(axis=1) == truth
    return {
        f"{name} accuracy": round(float(right.mean()), 4),
        f"{name} nll": round(cross_entropy_of(logs, truth), 4),
        f"{name} ece": round(calibration_error(probabilities.max(axis=1), right), 4),
    }


def measured(data: DataSet, folder: str, count: int, seed: int) -> dict[str, float]:
    """The row of one draw of labels."""
    method = Method.parse("pseudo-label+random")
    settings = resolve(folder, method, on(EMBEDDED), seed=seed, threads=1).learner
    ids = np.sort(select(data.pool.pixels.flatten(1), count, strategy="centroids", seed=seed).ids)
    labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], data.class_count)
    stream, truth = Stream.root(seed).child("ensembles"), data.test.classes
    logs = [
        log_probabilities(settings, data, labelled, data.test.images, stream.child("member", number))
        for number in range(MEMBERS)
    ]
    single = [figures("single", each, truth) for each in logs]
    found = {name: round(float(np.mean([each[name] for each in single])), 4) for name in single[0]}
    found |= figures("ensemble", np.log(np.mean(np.exp(logs), axis=0)), truth)
    t = temperature(settings, data, labelled, stream)
    scaled = [figures("scaled", each / t, truth) for each in logs]
    found |= {name: round(float(np.mean([each[name] for each in scaled])), 4) for name in scaled[0]}
    return found | {"temperature": round(t, 3)}


def table(rows: Sequence[dict[str, object]]) -> str:
    """Means over seeds as Markdown."""
    lines = [
        "| folder | labels | seeds | | accuracy | NLL | calibration error |",
        "|---|---|---|---|---|---|---|",
    ]
    for folder, count in sorted({(str(row["folder"]), int(str(row["labels"]))) for row in rows}):
        of = [row for row in rows if (row["folder"], row["labels"]) == (folder, count)]
        for name in ("single", "ensemble", "scaled"):
            mean = [
                np.mean([float(str(row[f"{name} {what}"])) for row in of])
                for what in ("accuracy", "nll", "ece")
            ]
            figures = f"{100 * mean[0]:.1f} | {mean[1]:.2f} | {mean[2]:.3f}"
            lines.append(f"| {folder} | {count} | {len(of)} | {name} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no row yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--labels", nargs="+", type=int, default=[30, 100])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", default="ensembles", help="name of the file of rows, or a path of one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = KeptRows(arguments.out)
    for folder in arguments.folders:
        data: DataSet | None = None
        for seed in range(arguments.seeds):
            for count in arguments.labels:
                key = {"folder": folder.name, "labels": count, "seed": seed}
                if not kept.has(key):
                    spec = resolve(str(folder), Method.parse("linear+random"), on(EMBEDDED), threads=1)
                    data = data or held_out(load_data(spec))
                    kept.keep(key, measured(data, str(folder), count, seed))
    print(table(kept.rows))


if __name__ == "__main__":
    main()
