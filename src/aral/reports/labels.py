"""Accuracy against labels: curves of runs, the area under them, the labels a target accuracy needs.

Accuracies are shares of the test images, in [0, 1]. The area is that of Lüth et al. (NeurIPS 2023, arXiv
2301.10625), divided by its range of labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from aral.reports.statistics import Interval
from aral.words import counted


@dataclass(frozen=True, eq=False)
class Curve:
    """A learning curve of one run, or the mean of several.

    Attributes:
        labelled: N numbers of labels, strictly ascending, at least one.
        accuracy: N test accuracies, in [0, 1].

    Raises:
        ValueError: there is no point, the numbers of labels do not ascend, or an accuracy is not finite.
    """

    labelled: Int64[np.ndarray, " N"]
    accuracy: Float64[np.ndarray, " N"]

    def __post_init__(self) -> None:
        if not self.labelled.size or self.labelled.shape != self.accuracy.shape:
            raise ValueError(f"{self.labelled.size} numbers of labels, {self.accuracy.size} accuracies")
        if (np.diff(self.labelled) <= 0).any() or not np.isfinite(self.accuracy).all():
            raise ValueError("numbers of labels must ascend and accuracies must be finite")

    @property
    def first(self) -> int:
        """The smallest number of labels."""
        return int(self.labelled[0])

    @property
    def last(self) -> int:
        """The largest number of labels."""
        return int(self.labelled[-1])

    def at(self, labelled: Int64[np.ndarray, " M"]) -> Float64[np.ndarray, " M"]:
        """Accuracies at other numbers of labels, by linear interpolation between the rounds.

        Raises:
            ValueError: a number of labels lies outside the curve; nothing is extrapolated.
        """
        if (labelled < self.first).any() or (labelled > self.last).any():
            raise ValueError(f"the curve is known from {self.first} to {counted(self.last, 'label')} only")
        return np.interp(labelled, self.labelled, self.accuracy)


def common_range(curves: Sequence[Curve]) -> tuple[int, int] | None:
    """The smallest and largest number of labels that all curves cover; None if there are none."""
    if not curves:
        return None
    start, stop = max(curve.first for curve in curves), min(curve.last for curve in curves)
    return (start, stop) if start <= stop else None


def mean_curve(curves: Sequence[Curve]) -> Curve | None:
    """The mean of curves over their common range, None without one.

    Its points are at every number of labels of any of them; where a curve has none there, it is interpolated.
    """
    span = common_range(curves)
    if span is None:
        return None
    known = np.unique(np.concatenate([curve.labelled for curve in curves]))
    labelled = known[(known >= span[0]) & (known <= span[1])]
    return Curve(labelled, np.mean([curve.at(labelled) for curve in curves], axis=0))


def normalised_area(curve: Curve, start: int, stop: int) -> float:
    """Area under the curve by trapezoids, divided by the range of labels: the mean accuracy on the way.

    It lies between the smallest and the largest accuracy of the range, in [0, 1]; where the range is a single
    number of labels, it is the accuracy there. The ends are interpolated if they fall between two rounds.

    Raises:
        ValueError: the range is not inside the curve.
    """
    inside = curve.labelled[(curve.labelled > start) & (curve.labelled < stop)]
    labelled = np.concatenate([[start], inside, [stop]]).astype(np.int64)
    accuracy = curve.at(labelled)
    if start == stop:
        return float(accuracy[0])
    return float(np.trapezoid(accuracy, labelled) / (stop - start))


@dataclass(frozen=True)
class Reached:
    """The target is first reached with so many labels, interpolated between two rounds."""

    labels: float


@dataclass(frozen=True)
class ReachedAtStart:
    """The target is reached by the first round already: at most so many labels are needed."""

    labels: int


@dataclass(frozen=True)
class NotReached:
    """The target is not reached: more than so many labels, the last of the curve, are needed."""

    labels: int


LabelsNeeded = Reached | ReachedAtStart | NotReached


def labels_needed(curve: Curve, target: float) -> LabelsNeeded:
    """Where the curve first reaches a target accuracy in [0, 1], by linear interpolation between rounds.

    A curve that falls below the target later on has reached it all the same.
    """
    reached: Bool[np.ndarray, " N"] = curve.accuracy >= target
    if not reached.any():
        return NotReached(curve.last)
    place = int(reached.argmax())
    if place == 0:
        return ReachedAtStart(curve.first)
    before, after = curve.accuracy[place - 1 : place + 1].tolist()
    left, right = curve.labelled[place - 1 : place + 1].tolist()
    return Reached(left + (right - left) * (target - before) / (after - before))


def labels_saved(method: LabelsNeeded, baseline: LabelsNeeded) -> Interval:
    """Labels the baseline needs minus labels the method needs, as far as known: ends may be infinite.

    Both ends are equal where both needs are known; a negative number is labels lost.
    """
    of_method, of_baseline = _bounds(method), _bounds(baseline)
    return Interval(of_baseline.low - of_method.high, of_baseline.high - of_method.low)


def _bounds(needed: LabelsNeeded) -> Interval:
    match needed:
        case Reached(labels):
            return Interval(labels, labels)
        case ReachedAtStart(first):
            return Interval(0.0, float(first))
        case NotReached(last):
            return Interval(float(last), math.inf)
