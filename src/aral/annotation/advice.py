"""What the next labels would bring, from the curve so far: error = a · labels^(−b), with its doubt.

The curve is fitted to the logarithms by weighted least squares; a point weighs what a binomial count on the
estimate slice is worth. The doubt in the two parameters is carried over to the gain by the delta method.
Successive points are measured on mostly the same images, which makes true differences surer than this says:
the interval errs on the wide side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aral.annotation import Advice, ModelRecord
from aral.words import counted

NORMAL = 1.959963984540054
"""The 97.5 % point of the normal distribution: 2.5 % are left out on either side."""

LEAST_POINTS = 3
LEAST_MEASURED = 10
MOST_POINTS = 8
"""Older points say little of where the curve goes now."""

HARDLY = 0.5
"""Points of a hundred; when the interval ends below, another batch is hardly worth it."""


@dataclass(frozen=True)
class Unknown:
    """Why nothing can be said."""

    reason: str


@dataclass(frozen=True)
class Point:
    """Labels trained on, and right predictions among those measured."""

    labels: int
    right: float
    measured: int


def advise(models: Sequence[ModelRecord], next_labels: int) -> Advice | Unknown:
    """What so many labels more would bring.

    Args:
        models: of the project, the oldest first.
        next_labels: how many labels are meant.
    """
    points = [
        Point(model.trained_on, model.estimate.accuracy * model.estimate.count, model.estimate.count)
        for model in models
        if model.estimate is not None and model.trained_on > 0
    ]
    newest = {point.labels: point for point in points}  # of models on equally many labels the last one
    return gain(list(newest.values())[-MOST_POINTS:], next_labels)


def gain(points: Sequence[Point], next_labels: int) -> Advice | Unknown:
    """The gain that the fitted curve promises, with a 95 % interval; or why there is none."""
    if len(points) < LEAST_POINTS:
        return Unknown(
            f"What more labels would bring can be told after {LEAST_POINTS} measured rounds; "
            f"so far there {'is' if len(points) == 1 else 'are'} {len(points)}."
        )
    if points[-1].measured < LEAST_MEASURED:
        return Unknown(
            f"What more labels would bring can be told from {LEAST_MEASURED} labels of the estimate slice on; "
            f"so far there {'is' if points[-1].measured == 1 else 'are'} {points[-1].measured}."
        )
    # Half an error more and one image more keep the logarithm of no error at all finite.
    error = np.array([(point.measured - point.right + 0.5) / (point.measured + 1) for point in points])
    measured = np.array([point.measured for point in points], dtype=np.float64)
    weights = measured * error / np.maximum(1 - error, 1e-3)  # 1 / variance of log(error)
    start = float(points[-1].labels)
    # The present is the origin, so that the first parameter is the logarithm of the error now.
    design = np.stack([np.ones(len(points)), np.log([point.labels / start for point in points])], axis=1)
    precision = design.T @ (design * weights[:, None])
    if np.linalg.cond(precision) > 1e12:
        return Unknown("What more labels would bring cannot be told: all rounds had equally many labels.")
    covariance = np.linalg.inv(precision)
    now, slope = covariance @ (design.T @ (weights * np.log(error)))
    residuals = np.log(error) - design @ (now, slope)
    spread = float((weights * residuals**2).sum()) / max(1, len(points) - 2)
    covariance = covariance * max(1.0, spread)
    slope = min(0.0, float(slope))  # more labels do no harm
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
    """The advice in words."""
    said = f"The next {counted(next_labels, 'label')}: about {points:+.1f} ± {half:.1f} points."
    return f"{said} Another batch is hardly worth it." if points + half < HARDLY else said
