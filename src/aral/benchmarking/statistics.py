"""Statistics of learning curves: areas, labels needed, confidence intervals, paired tests, Holm's correction.

Pure functions. Accuracies are shares of the test images, in [0, 1]; every difference is method minus baseline,
so a positive one favours the method. The paired design, one difference per seed, follows Werner et al. (NeurIPS
2024, arXiv 2408.00426); the area under the learning curve, divided by its range of labels, follows Lüth et al.
(NeurIPS 2023, arXiv 2301.10625).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import special

from aral.plural import counted

LEVEL = 0.95
"""Confidence level of every interval."""

SIGNIFICANCE = 0.05
"""A p-value below it is significant."""

MINIMUM_SEEDS = 3
"""With fewer seeds no verdict is given."""

POOLED_BELOW = 10
"""Below this number of seeds the deviation is pooled over the methods of a comparison where that is possible."""

DECIMALS = 12
"""Differences are rounded to this many decimals, so that rounding errors of the arithmetic do not count."""

POWER = 0.8
"""Probability of a clear verdict at which :func:`seeds_needed` aims."""

MOST_SEEDS = 1000
"""The largest number of seeds that :func:`seeds_needed` considers."""


# Learning curves


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
        """Accuracies at other numbers of labels, by linear interpolation between rounds.

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

    It has a point at every number of labels of any of the curves; a curve without one there is interpolated.
    """
    span = common_range(curves)
    if span is None:
        return None
    known = np.unique(np.concatenate([curve.labelled for curve in curves]))
    labelled = known[(known >= span[0]) & (known <= span[1])]
    return Curve(labelled, np.mean([curve.at(labelled) for curve in curves], axis=0))


def normalised_area(curve: Curve, start: int, stop: int) -> float:
    """Area under the learning curve by trapezoids, divided by the range of labels: a mean accuracy.

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


# Labels needed for a target accuracy


@dataclass(frozen=True)
class Reached:
    """The target is first reached with this many labels, interpolated between two rounds."""

    labels: float


@dataclass(frozen=True)
class ReachedAtStart:
    """The target is reached in the first round already: at most this many labels are needed."""

    labels: int


@dataclass(frozen=True)
class NotReached:
    """The target is not reached: more labels than this, the last of the curve, are needed."""

    labels: int


LabelsNeeded = Reached | ReachedAtStart | NotReached


@dataclass(frozen=True)
class Interval:
    """Both ends of an interval, in the unit of its values."""

    low: float
    high: float


def labels_needed(curve: Curve, target: float) -> LabelsNeeded:
    """Where the curve first reaches a target accuracy in [0, 1], by linear interpolation between rounds.

    A curve that falls below the target later still counts as having reached it.
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
    """Labels the baseline needs minus labels the method needs, as bounds that may be infinite.

    Both bounds are equal where both needs are known; a negative number means that the method needs more labels.
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


# Intervals and paired tests


def t_interval(mean: float, deviation: float, count: int, degrees: float | None = None) -> Interval:
    """The t-interval of a mean: mean ± t · deviation / √count.

    Args:
        mean: mean of the values.
        deviation: standard deviation of a value.
        count: number of values, at least 2 without ``degrees``; a single value has no interval.
        degrees: degrees of freedom of the deviation; None: count − 1, those of the sample standard deviation.
    """
    degrees = count - 1 if degrees is None else degrees
    width = float(special.stdtrit(degrees, (1 + LEVEL) / 2)) * deviation / math.sqrt(count)
    return Interval(mean - width, mean + width)


@dataclass(frozen=True)
class TTest:
    """Test whether a mean of differences is zero.

    Attributes:
        deviation: standard deviation of a difference, above zero.
        degrees_of_freedom: of the deviation.
        interval: the t-interval of the mean.
        p: p-value of the two-sided t-test.
    """

    deviation: float
    degrees_of_freedom: float
    interval: Interval
    p: float


def t_test(mean: float, deviation: float, count: int, degrees: float) -> TTest:
    """Student's t-test of a mean of differences.

    Args:
        mean: mean of the differences.
        deviation: standard deviation of a difference, above zero.
        count: number of differences.
        degrees: degrees of freedom of the deviation, above zero.
    """
    statistic = abs(mean) * math.sqrt(count) / deviation
    p = float(2 * special.stdtr(degrees, -statistic))
    return TTest(deviation, degrees, t_interval(mean, deviation, count, degrees), p)


@dataclass(frozen=True)
class PairedTest:
    """Paired differences between a method and its baseline, one per seed.

    Attributes:
        differences: method minus baseline, at least one.
        mean: their mean.
        t_test: the paired t-test, by their sample standard deviation (n − 1 in the denominator). None for a single
            seed, and where all differences are equal: there is no deviation to test against.
    """

    differences: tuple[float, ...]
    mean: float
    t_test: TTest | None

    @property
    def count(self) -> int:
        """Number of seeds."""
        return len(self.differences)


def paired_test(method: Float64[np.ndarray, " n"], baseline: Float64[np.ndarray, " n"]) -> PairedTest:
    """Test whether the mean of method − baseline is zero; equal positions are equal seeds.

    Args:
        method: scores of n ≥ 1 seeds, higher = better.
        baseline: scores of the same seeds.
    """
    differences = np.round(method - baseline, DECIMALS) + 0.0  # + 0.0 turns −0 into 0
    mean, count = float(differences.mean()), differences.size
    test = None
    if count > 1 and np.ptp(differences) > 0:  # after rounding: equal differences have no deviation
        test = t_test(mean, float(differences.std(ddof=1)), count, float(count - 1))
    return PairedTest(tuple(differences.tolist()), mean, test)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for multiple testing after Holm (1979), in the given order.

    The i-th smallest of m is multiplied by m − i + 1; none may be below the one before it or above 1.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def win_share(differences: Sequence[Float64[np.ndarray, " _"]]) -> float | None:
    """Share of the numbers of labels at which one method is significantly better than another.

    An entry of the pairwise penalty matrix of Ash et al. (ICLR 2020, arXiv 1906.03671). As there, the tests
    at the single numbers of labels are not corrected.

    Args:
        differences: for each number of labels, first method minus second, one per seed; a number of labels with
            fewer than :data:`MINIMUM_SEEDS` is left out.

    Returns:
        In [0, 1]; None if no number of labels is left.
    """
    tests = [paired_test(each, np.zeros_like(each)) for each in differences if each.size >= MINIMUM_SEEDS]
    if not tests:
        return None
    wins = [test.mean > 0 and test.t_test is not None and test.t_test.p < SIGNIFICANCE for test in tests]
    return sum(wins) / len(wins)


def seeds_needed(
    mean: float, deviation: float, margin: float, tests: int = 1, pooled: float = 1.0
) -> int | None:
    """Seeds needed for a clear verdict with probability :data:`POWER`, if mean and deviation stay as observed.

    A verdict is clear if the t-test is significant at SIGNIFICANCE / tests (the strictest step of Holm's
    correction), or if the t-interval lies inside ± margin. By the usual approximation with t quantiles, n
    seeds are enough if ``|mean| ≥ (t(1 − α/2) + t(POWER)) · deviation / √n`` for the first and
    ``margin − |mean| ≥ (t((1 + LEVEL)/2) + t((1 + POWER)/2)) · deviation / √n`` for the second.

    Args:
        mean: observed mean difference.
        deviation: observed standard deviation of a difference, pooled or of the differences themselves.
        margin: the largest difference without practical relevance, in the same unit.
        tests: number of methods that are compared.
        pooled: below :data:`POOLED_BELOW` seeds, degrees of freedom of the deviation divided by n − 1: 1 if it is not
            pooled, M − 1 if it is pooled over M methods.

    Returns:
        At least :data:`MINIMUM_SEEDS`; None if more than :data:`MOST_SEEDS` would be needed.
    """
    counts = np.arange(MINIMUM_SEEDS, MOST_SEEDS + 1)
    error = deviation / np.sqrt(counts)
    degrees = (counts - 1) * np.where(counts < POOLED_BELOW, pooled, 1.0)
    found = special.stdtrit(degrees, 1 - SIGNIFICANCE / tests / 2) + special.stdtrit(degrees, POWER)
    excluded = special.stdtrit(degrees, (1 + LEVEL) / 2) + special.stdtrit(degrees, (1 + POWER) / 2)
    enough = (abs(mean) >= found * error) | (margin - abs(mean) >= excluded * error)
    return int(counts[enough.argmax()]) if enough.any() else None
