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
from scipy import stats

from aral.plural import counted
from aral.randomness import Stream

LEVEL = 0.95
"""Confidence level of every interval."""

SIGNIFICANCE = 0.05
"""A p-value below it is significant."""

EXACT_SEEDS = 14
"""Up to this many seeds the sign-flip test enumerates all flips; beyond, it samples 2¹⁴ of them."""

MINIMUM_SEEDS = 3
"""With fewer seeds no verdict is given."""

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


def t_interval(mean: float, deviation: float, count: int) -> Interval:
    """The t-interval of a mean: mean ± t · deviation / √count with count − 1 degrees of freedom.

    Args:
        mean: mean of the values.
        deviation: their sample standard deviation (count − 1 in the denominator).
        count: number of values, at least 2; a single value has no interval.
    """
    width = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * deviation / math.sqrt(count)
    return Interval(mean - width, mean + width)


@dataclass(frozen=True)
class Spread:
    """Spread of two or more differences, and the t-test of their mean.

    Attributes:
        deviation: sample standard deviation (n − 1 in the denominator).
        interval: the t-interval of the mean.
        t_p: p-value of the two-sided paired t-test.
    """

    deviation: float
    interval: Interval
    t_p: float


@dataclass(frozen=True)
class PairedTest:
    """Paired differences between a method and its baseline, one per seed.

    Attributes:
        differences: method minus baseline, at least one.
        mean: their mean.
        flip_p: p-value of the two-sided sign-flip test.
        spread: None for a single seed.
    """

    differences: tuple[float, ...]
    mean: float
    flip_p: float
    spread: Spread | None

    @property
    def count(self) -> int:
        """Number of seeds."""
        return len(self.differences)


def paired_test(method: Float64[np.ndarray, " n"], baseline: Float64[np.ndarray, " n"]) -> PairedTest:
    """Test whether the mean of method − baseline is zero; equal positions are equal seeds.

    Differences that agree to 12 decimals have no deviation; then p is 1 if they are zero and 0 if not.

    Args:
        method: scores of n ≥ 1 seeds, higher = better.
        baseline: scores of the same seeds.
    """
    differences = np.round(method - baseline, DECIMALS) + 0.0  # + 0.0 turns −0 into 0
    mean = float(differences.mean())
    spread = None
    if differences.size > 1:
        deviation = float(differences.std(ddof=1)) if np.ptp(differences) > 0 else 0.0
        interval = t_interval(mean, deviation, differences.size)
        spread = Spread(deviation, interval, _t_p(mean, deviation, differences.size))
    return PairedTest(tuple(differences.tolist()), mean, sign_flip_p(differences), spread)


def _t_p(mean: float, deviation: float, count: int) -> float:
    if deviation == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return float(2 * stats.t.sf(abs(mean) * math.sqrt(count) / deviation, count - 1))


def sign_flip_p(differences: Float64[np.ndarray, " n"]) -> float:
    """p-value of the sign-flip test: the share of the 2ⁿ sign flips with a sum at least as far from zero.

    It is exact if a difference and its opposite are equally likely; no normal distribution is assumed. It
    cannot be below 2 / 2ⁿ. Above :data:`EXACT_SEEDS` differences the share is estimated from 2¹⁴ fixed random
    flips, the observed signs counted among them.
    """
    count = differences.size
    bound = abs(float(differences.sum())) - 10.0**-DECIMALS
    if count <= EXACT_SEEDS:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        return float((np.abs(sums) >= bound).mean())
    drawn = Stream.root(0).child("sign flips").numpy().integers(0, 2, (2**EXACT_SEEDS - 1, count))
    as_far = np.abs((2.0 * drawn - 1.0) @ differences) >= bound
    return float((1 + as_far.sum()) / 2**EXACT_SEEDS)


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
    wins = [test.mean > 0 and test.spread is not None and test.spread.t_p < SIGNIFICANCE for test in tests]
    return sum(wins) / len(wins)


def seeds_needed(mean: float, deviation: float, margin: float, tests: int = 1) -> int | None:
    """Seeds needed for a clear verdict with probability :data:`POWER`, if mean and deviation stay as observed.

    A verdict is clear if the paired t-test is significant at SIGNIFICANCE / tests (the strictest step of Holm's
    correction), or if the t-interval lies inside ± margin. By the usual approximation with t quantiles, n
    seeds are enough if ``|mean| ≥ (t(1 − α/2) + t(POWER)) · deviation / √n`` for the first and
    ``margin − |mean| ≥ (t((1 + LEVEL)/2) + t((1 + POWER)/2)) · deviation / √n`` for the second.

    Args:
        mean: observed mean difference.
        deviation: observed sample standard deviation of the differences.
        margin: the largest difference without practical relevance, in the same unit.
        tests: number of methods that are compared.

    Returns:
        At least :data:`MINIMUM_SEEDS`; None if more than :data:`MOST_SEEDS` would be needed.
    """
    counts = np.arange(MINIMUM_SEEDS, MOST_SEEDS + 1)
    error = deviation / np.sqrt(counts)
    found = stats.t.ppf(1 - SIGNIFICANCE / tests / 2, counts - 1) + stats.t.ppf(POWER, counts - 1)
    excluded = stats.t.ppf((1 + LEVEL) / 2, counts - 1) + stats.t.ppf((1 + POWER) / 2, counts - 1)
    enough = (abs(mean) >= found * error) | (margin - abs(mean) >= excluded * error)
    return int(counts[enough.argmax()]) if enough.any() else None
