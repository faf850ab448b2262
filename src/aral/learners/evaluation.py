"""Accuracy on labelled images that no training or choice has used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from aral.acquisition.interface import Need
from aral.learners.interface import Learner
from aral.randomness import Stream
from aral.types import LabelledSet


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a classifier does on a test set.

    Attributes:
        accuracy: share of images whose most probable class is right, in [0, 1].
        negative_log_likelihood: −log p(true class), mean over images, nats.
        calibration_error: expected calibration error over 15 equal bins of confidence, in [0, 1].
        confusion: K×K counts, row = true class, column = predicted class.
    """

    accuracy: float
    negative_log_likelihood: float
    calibration_error: float
    confusion: Int64[np.ndarray, "K K"]

    @property
    def numbers(self) -> dict[str, float]:
        """The scalar figures by name."""
        return {
            "accuracy": self.accuracy,
            "negative log-likelihood": self.negative_log_likelihood,
            "calibration error": self.calibration_error,
        }


def evaluate(learner: Learner, test: LabelledSet) -> Evaluation:
    """Evaluate a learner on a test set, in eval mode and in order of id."""
    predictions = learner.predict(test.images, [Need.PROBABILITIES], Stream.root(0))
    return evaluate_probabilities(
        predictions.get(Need.PROBABILITIES).double().numpy(), test.classes, test.class_count
    )


def evaluate_probabilities(
    probabilities: Float[np.ndarray, "N K"], classes: Int64[np.ndarray, " N"], class_count: int
) -> Evaluation:
    """Evaluate class probabilities, rows summing to one, against true classes."""
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((class_count, class_count), dtype=np.int64)
    np.add.at(confusion, (classes, predicted), 1)
    right = predicted == classes
    likelihood = probabilities[np.arange(classes.size), classes]
    return Evaluation(
        accuracy=float(right.mean()),
        negative_log_likelihood=float(-np.log(np.maximum(likelihood, 1e-12)).mean()),
        calibration_error=_calibration_error(probabilities.max(axis=1), right),
        confusion=confusion,
    )


def _calibration_error(confidence: Float[np.ndarray, " N"], right: np.ndarray, bins: int = 15) -> float:
    """|confidence − accuracy| of each bin of confidence, weighted by its share of images (Guo et al. 2017)."""
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    gaps = np.abs(np.bincount(places, confidence - right, minlength=bins))
    return float(gaps.sum() / counts.sum())
