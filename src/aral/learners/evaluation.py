"""Accuracy and other metrics on labelled images that no training or choice has used."""

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
            **metrics_of(self.confusion),
            "negative log-likelihood": self.negative_log_likelihood,
            "calibration error": self.calibration_error,
        }


def class_recalls(confusion: Int64[np.ndarray, "K K"]) -> Float[np.ndarray, " K"]:
    """Recall of each class: the share of its images that is classified as it, in [0, 1]; NaN without images.

    Args:
        confusion: counts, row = true class, column = predicted class.
    """
    images = confusion.sum(axis=1)
    with np.errstate(invalid="ignore"):
        found: Float[np.ndarray, " K"] = confusion.diagonal() / images
    return found


def metrics_of(confusion: Int64[np.ndarray, "K K"]) -> dict[str, float]:
    """Metrics in which every class counts the same, as scikit-learn defines them; all in [0, 1].

    Args:
        confusion: counts, row = true class, column = predicted class.

    Returns:
        ``balanced accuracy``: the mean recall of the classes that have images; ``macro F1``: the mean of
        2·TP / (2·TP + FP + FN) over the classes that have images or are predicted. Empty without images.
    """
    if not confusion.sum():
        return {}
    right, both = confusion.diagonal(), confusion.sum(axis=0) + confusion.sum(axis=1)
    present = both > 0
    return {
        "balanced accuracy": float(np.nanmean(class_recalls(confusion))),
        "macro F1": float((2 * right[present] / both[present]).mean()),
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
