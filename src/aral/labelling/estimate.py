"""How good a classifier is, on images drawn at random: shares with honest intervals.

Images that were chosen for training are the difficult ones and no fair sample of the folder, so an accuracy on
them would say little. Only the estimate slice counts.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int64

from aral.learners import evaluate_probabilities
from aral.project import ClassFigure, Estimate

Z = 1.959963984540054
"""The 97.5 % point of the normal distribution: 2.5 % are left out on either side."""

FAIR = (
    "Measured on images drawn at random and never trained on. The labels chosen for training are not a fair "
    "sample of the folder."
)


def wilson(right: int, count: int) -> Estimate:
    """A share with Wilson's 95 % score interval (1927), which holds for small counts and shares near 0 or 1.

    Args:
        right: how many are.
        count: of how many, at least 1.
    """
    share = right / count
    scale = 1 + Z**2 / count
    centre = (share + Z**2 / (2 * count)) / scale
    half = Z / scale * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    # Rounding must not put the share outside its own interval.
    return Estimate(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)), count)


def measure(
    probabilities: Float[np.ndarray, "N K"], classes: Int64[np.ndarray, " N"]
) -> tuple[Estimate | None, Int64[np.ndarray, "K K"]]:
    """Accuracy and confusion (row = true class) of predictions on the labelled images of the slice.

    Returns:
        no estimate without labels.
    """
    class_count = probabilities.shape[1]
    if not classes.size:
        return None, np.zeros((class_count, class_count), dtype=np.int64)
    confusion = evaluate_probabilities(probabilities, classes, class_count).confusion
    return wilson(int(np.trace(confusion)), int(classes.size)), confusion


def class_figures(
    class_ids: tuple[int, ...], confusion: Int64[np.ndarray, "K K"], trained: Int64[np.ndarray, " n"]
) -> tuple[ClassFigure, ...]:
    """Labels for training and recall on the slice, by class.

    Args:
        class_ids: in the order of the classifier's outputs.
        confusion: row = true class.
        trained: class index of each label that was trained on.
    """
    labels = np.bincount(trained, minlength=len(class_ids))
    shown = confusion.sum(axis=1)
    return tuple(
        ClassFigure(
            class_id,
            int(labels[row]),
            wilson(int(confusion[row, row]), int(shown[row])) if shown[row] else None,
        )
        for row, class_id in enumerate(class_ids)
    )
