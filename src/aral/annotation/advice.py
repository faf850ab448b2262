"""How much accuracy the next labels are expected to gain, and a sentence on how an accuracy was estimated.

The gain comes from the learning curve so far, error = a · labels^(−b), fitted to the logarithms by least squares
with the binomial variances on the estimate set as weights. Its interval comes from the covariance of the two
parameters by the delta method. Successive points are estimated on mostly the same images, so their differences
are more certain than independent samples would make them: the interval is conservative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aral.annotation import Advice, Estimate, ModelRecord
from aral.plural import counted

NORMAL = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

LEAST_POINTS = 3
LEAST_ESTIMATE_LABELS = 10
MOST_POINTS = 8
"""Older points are left out: the slope of the curve changes."""

LEAST_GAIN = 0.5
"""Percentage points. If the upper end of the interval is below, the advice says that more labels are hardly worth
it."""


@dataclass(frozen=True)
class Unknown:
    """Why the gain cannot be estimated."""

    reason: str


@dataclass(frozen=True)
class Point:
    """A point of the learning curve: labels trained on, and correct predictions among ``count`` images."""

    labels: int
    correct: float
    count: int


def advise(models: Sequence[ModelRecord], next_labels: int) -> Advice | Unknown:
    """How much accuracy so many more labels would gain.

    Args:
        models: of the project, the oldest first.
        next_labels: how many more labels.
    """
    points = [
        Point(model.trained_on, model.estimate.accuracy * model.estimate.count, model.estimate.count)
        for model in models
        if model.estimate is not None and model.trained_on > 0
    ]
    newest = {point.labels: point for point in points}  # of models with equally many labels the last one
    return gain(list(newest.values())[-MOST_POINTS:], next_labels)


def gain(points: Sequence[Point], next_labels: int) -> Advice | Unknown:
    """The gain according to the fitted curve, with a 95 % interval; or why it cannot be estimated."""
    if len(points) < LEAST_POINTS:
        return Unknown(
            f"The gain of more labels can be estimated after {LEAST_POINTS} rounds; "
            f"so far there {'is' if len(points) == 1 else 'are'} {len(points)}."
        )
    if points[-1].count < LEAST_ESTIMATE_LABELS:
        return Unknown(
            f"The gain of more labels can be estimated from {LEAST_ESTIMATE_LABELS} labels of the estimate set on; "
            f"so far there {'is' if points[-1].count == 1 else 'are'} {points[-1].count}."
        )
    # Half an error and one image more keep the logarithm finite when there is no error.
    error = np.array([(point.count - point.correct + 0.5) / (point.count + 1) for point in points])
    counts = np.array([point.count for point in points], dtype=np.float64)
    weights = counts * error / np.maximum(1 - error, 1e-3)  # 1 / variance of log(error)
    start = float(points[-1].labels)
    # Relative to the present number of labels: the first parameter is then the logarithm of the present error.
    design = np.stack([np.ones(len(points)), np.log([point.labels / start for point in points])], axis=1)
    precision = design.T @ (design * weights[:, None])
    if np.linalg.cond(precision) > 1e12:
        return Unknown("The gain of more labels cannot be estimated: all rounds had equally many labels.")
    covariance = np.linalg.inv(precision)
    now, slope = covariance @ (design.T @ (weights * np.log(error)))
    residuals = np.log(error) - design @ (now, slope)
    spread = float((weights * residuals**2).sum()) / max(1, len(points) - 2)
    covariance = covariance * max(1.0, spread)
    slope = min(0.0, float(slope))  # more labels never increase the error
    step = math.log((start + next_labels) / start)
    before, after = math.exp(now), math.exp(now + slope * step)
    towards = np.array([before - after, -after * step])
    half = 100 * NORMAL * math.sqrt(float(towards @ covariance @ towards))
    points_gained = 100 * (before - after)
    return Advice(
        next_labels,
        points_gained,
        points_gained - half,
        points_gained + half,
        sentence(next_labels, points_gained, half),
    )


def sentence(next_labels: int, points: float, half: float) -> str:
    """The advice as text for users."""
    text = f"The next {counted(next_labels, 'label')}: about {points:+.1f} ± {half:.1f} points."
    return f"{text} Another batch is hardly worth it." if points + half < LEAST_GAIN else text


SAMPLING_NOTE = (
    "Estimated on images drawn at random that are never trained on. Queried images are not a random sample of the "
    "folder."
)


def sampling_note(estimate: Estimate | None) -> str:
    """How the images behind an accuracy were sampled, as sentences that are shown beside it."""
    if estimate is None or not estimate.late:
        return SAMPLING_NOTE
    return (
        f"{SAMPLING_NOTE} {counted(estimate.late, 'image')} of {estimate.count} joined the estimate set later, drawn "
        "from the images that earlier queries had left: if the queried ones were difficult, the accuracy is too high."
    )


def estimate_sentence(estimate: Estimate | None) -> str:
    """An accuracy with its confidence interval as a sentence; None is unknown."""
    if estimate is None:
        return "The accuracy is unknown: no image of the estimate set has been labelled."
    return (
        f"Accuracy {percent(estimate)}, 95 % confidence interval {interval_in_percent(estimate)}, on "
        f"{counted(estimate.count, 'image')} drawn at random."
    )


def percent(estimate: Estimate) -> str:
    """An accuracy in per cent."""
    return f"{100 * estimate.accuracy:.1f} %"


def interval_in_percent(estimate: Estimate) -> str:
    """Both ends of its interval in per cent."""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"
