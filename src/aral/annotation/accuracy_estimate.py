"""The accuracy estimate of a classifier, with exact confidence intervals.

Only the estimate set counts, which is drawn at random: images chosen for training are a biased sample.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64
from scipy.special import betaincinv

from aral.annotation import ClassFigure, Estimate
from aral.learners import evaluate_probabilities

TAIL = 0.025
"""The probability outside a 95 % interval, at each of its ends."""


def exact_interval(correct: int, count: int) -> Estimate:
    """A share with its exact 95 % confidence interval (Clopper and Pearson 1934).

    Its coverage is at least 95 % for every true share and number of images. Wilson's interval is narrower, but
    does not cover shares near 1 as often: a share of 0.994 on 25 images in 86 % of cases.

    Args:
        correct: number of correct predictions.
        count: number of predictions, at least 1.
    """
    low = float(betaincinv(correct, count - correct + 1, TAIL)) if correct else 0.0
    high = float(betaincinv(correct + 1, count - correct, 1 - TAIL)) if correct < count else 1.0
    return Estimate(correct / count, low, high, count)


def estimate_accuracy(
    probabilities: Float[np.ndarray, "N K"], classes: Int64[np.ndarray, " N"]
) -> tuple[Estimate | None, Int64[np.ndarray, "K K"]]:
    """Accuracy and confusion matrix (row = true class) on the labelled images of the estimate set.

    Returns:
        None for the accuracy when there are no labels.
    """
    class_count = probabilities.shape[1]
    if not classes.size:
        return None, np.zeros((class_count, class_count), dtype=np.int64)
    confusion = evaluate_probabilities(probabilities, classes, class_count).confusion
    return exact_interval(int(np.trace(confusion)), int(classes.size)), confusion


def class_figures(
    class_ids: tuple[int, ...], confusion: Int64[np.ndarray, "K K"], trained: Int64[np.ndarray, " n"]
) -> tuple[ClassFigure, ...]:
    """Labels for training, and recall on the estimate set, by class.

    Args:
        class_ids: in the order of the classifier's outputs.
        confusion: row = true class.
        trained: class index of each label that was trained on.
    """
    labels = np.bincount(trained, minlength=len(class_ids))
    counts = confusion.sum(axis=1)
    return tuple(
        ClassFigure(
            class_id,
            int(labels[row]),
            exact_interval(int(confusion[row, row]), int(counts[row])) if counts[row] else None,
        )
        for row, class_id in enumerate(class_ids)
    )
