"""Whether a trained generator makes images of the class that it is given: by a classifier that is independent of it.

    aral run mnist --method supervised+random --budget 60000 --query-size 60000 --first-query random \\
        --set learner.networks.scale=compact --set learner.training.steps=4000 --folder runs/judge
    python benchmarks/generator_quality.py --judge runs/judge runs/compare-mnist/aral+random-seed0 ...

The judge is a run on all labels with other networks (`compact`). For each run folder, G makes as many images of each
class, with the weights of its last round: the share whose class the judge recognises, and the Fréchet distance (Heusel
et al. 2017) between Gaussians fitted to the judge's features of these images and of the test set. That of as many
training images, a perfect copy of the training set, and of uniform noise stand beside it. Rows go to
results/generator-quality.json. With ``--galleries`` each run also gets a picture, generated-METHOD.png: a row of images
for each class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

import aral
from aral.acquisition import Need
from aral.learners import Learner
from aral.randomness import Stream
from aral.types import ImageSet
from kept_rows import KeptRows

GALLERY = 16
"""Images of a class in a picture."""


def frechet_distance(one: Float[np.ndarray, "N F"], other: Float[np.ndarray, "M F"]) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of Gaussians fitted to two sets of features; 0 where they agree."""
    means = [features.astype(np.float64).mean(axis=0) for features in (one, other)]
    covariances = [np.cov(features.astype(np.float64), rowvar=False) for features in (one, other)]
    # The trace of (Σ₁Σ₂)^½ is the sum of the singular values of Σ₁^½ Σ₂^½, also for singular matrices.
    shared = np.linalg.svd(_root(covariances[0]) @ _root(covariances[1]), compute_uv=False).sum()
    spread = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * shared
    return max(0.0, float(np.sum((means[0] - means[1]) ** 2) + spread))


def _root(covariance: Float[np.ndarray, "F F"]) -> Float[np.ndarray, "F F"]:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


class Judge:
    """A classifier of its own, trained on all labels."""

    def __init__(self, folder: Path, root: Path | None) -> None:
        run = aral.load_run(folder)
        self.data = run.data(root)
        self.learner: Learner = run.learner()
        self.accuracy = run.rounds[-1].numbers["accuracy"]
        self.test = self._features(self.data.test.images)

    def judged(self, images: ImageSet, classes: np.ndarray) -> dict[str, object]:
        """Shares of recognised images, in all and of each class, and the distance to the test set."""
        found = self.learner.predict(images, {Need.PROBABILITIES}, Stream.root(0))
        right = found.get(Need.PROBABILITIES).argmax(dim=1).numpy() == classes
        return {
            "images": len(classes),
            "recognised": round(float(right.mean()), 4),
            "recognised by class": [round(float(right[classes == k].mean()), 3) for k in np.unique(classes)],
            "frechet": round(frechet_distance(self._features(images), self.test), 2),
        }

    def _features(self, images: ImageSet) -> Float[np.ndarray, "N F"]:
        found = self.learner.predict(images, {Need.FEATURES}, Stream.root(0))
        return found.get(Need.FEATURES).float().numpy()


def pixels_of(images: Float[torch.Tensor, "N C H W"]) -> ImageSet:
    """Images in [0, 1] as a set of 8 bits."""
    return ImageSet.of((images * 255).round().to(torch.uint8))


def draw(images: Float[torch.Tensor, "K n C H W"], path: Path) -> None:
    """Write images, one row for each class, twice as large, as a picture."""
    classes, count, channels, height, width = images.shape
    sheet = images.permute(0, 3, 1, 4, 2).reshape(classes * height, count * width, channels)
    pixels = (sheet.squeeze(2) * 255).round().to(torch.uint8).numpy()
    size = 2 * pixels.shape[1], 2 * pixels.shape[0]
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).save(path, optimize=True)


def main() -> None:
    """Judge the runs, and the training set and noise beside them."""
    parser = argparse.ArgumentParser(description="Classes and Fréchet distance of generated images.")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--judge", type=Path, required=True, help="the run folder of the judge")
    parser.add_argument("--images", type=int, default=500, help="of each class")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--galleries", type=Path, help="gets a picture of each run")
    parser.add_argument("--out", default="generator-quality", help="a name in results, or a .json file")
    options = parser.parse_args()
    rows, judge = KeptRows(options.out), Judge(options.judge, options.data_root)
    data, count = judge.data, options.images
    classes = np.repeat(np.arange(data.class_count), count)
    known = {"data": data.name, "judge's accuracy": judge.accuracy}

    own = data.pool_classes
    order = Stream.root(0).child("training images").numpy().permutation(len(own))
    chosen = np.concatenate([order[own[order] == k][:count] for k in range(data.class_count)])
    ids = np.sort(data.pool.ids[chosen])
    rows.keep({"run": "training images"}, known | judge.judged(data.pool.subset(ids), own[np.sort(chosen)]))
    noise = torch.rand((len(classes), *data.pool.shape), generator=Stream.root(0).child("noise").torch())
    rows.keep({"run": "uniform noise"}, known | judge.judged(pixels_of(noise), classes))

    for folder in options.runs:
        run = aral.load_run(folder)
        each_class = run.generate(list(range(data.class_count)), count)
        made = each_class.flatten(0, 1)
        if options.galleries is not None:
            learner = run.settings.method.learner.replace(":", "-")
            draw(each_class[:, :GALLERY], options.galleries / f"generated-{learner}.png")
        rows.keep(
            {
                "run": str(run.settings.method),
                "seed": run.settings.seed,
                "labels": run.rounds[-1].labelled,
                "steps": run.settings.learner.training.steps,
            },
            {
                **known,
                "accuracy": run.rounds[-1].numbers["accuracy"],
                "generated of labelled spread": run.rounds[-1].numbers.get("generated spread"),
                **judge.judged(pixels_of(made), classes),
            },
        )


if __name__ == "__main__":
    main()
