"""The arithmetic of comparisons as pure functions: intervals, paired tests, corrections, seeds needed.

Every difference is method minus baseline, so a positive one favours the method. The paired design, one
difference a seed, follows Werner et al. (NeurIPS 2024, arXiv 2408.00426).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import stats

from aral.randomness import Stream

LEVEL = 0.95
"""Confidence of every interval."""

SIGNIFICANCE = 0.05
"""A p-value below it is significant."""

EXACT_SEEDS = 14
"""Up to so many seeds all sign flips are counted; beyond, 2¹⁴ of them are drawn."""

MINIMUM_SEEDS = 3
"""With fewer seeds nothing is concluded."""

DECIMALS = 12
"""Differences are rounded to so many decimals: what is smaller is error of the arithmetic, not of a method."""


@dataclass(frozen=True)
class Interval:
    """Both ends of a confidence interval, in the unit of its values."""

    low: float
    high: float


def t_interval(mean: float, deviation: float, count: int) -> Interval:
    """The t-interval of a mean: mean ± t · deviation / √count with count − 1 degrees of freedom.

    Args:
        mean: mean of the values.
        deviation: their sample standard deviation (count − 1 in the denominator).
        count: how many they are, at least 2; a single value has no interval.
    """
    width = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * deviation / math.sqrt(count)
    return Interval(mean - width, mean + width)


@dataclass(frozen=True)
class Spread:
    """What two or more differences say of their mean.

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
    """Differences of one method and its baseline, one a seed.

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
        """How many seeds were compared."""
        return len(self.differences)


def paired_test(method: Float64[np.ndarray, " n"], baseline: Float64[np.ndarray, " n"]) -> PairedTest:
    """Test whether the mean of method − baseline is zero; the same place is the same seed.

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
    """Share of the 2ⁿ ways to flip the signs whose sum is as far from zero as the observed one, or farther.

    This is the exact p-value if a difference and its opposite are equally likely; no bell curve is assumed.
    It cannot be below 2 / 2ⁿ. Above :data:`EXACT_SEEDS` differences the share is estimated from 2¹⁴ fixed
    random flips, the observed signs counted among them.
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
    """p-values corrected for their number after Holm (1979), in the given order.

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
        differences: for each number of labels, first method minus second, one a seed; where there are fewer
            than :data:`MINIMUM_SEEDS`, the number of labels is left out.

    Returns:
        In [0, 1]; None if no number of labels is left.
    """
    tests = [paired_test(each, np.zeros_like(each)) for each in differences if each.size >= MINIMUM_SEEDS]
    if not tests:
        return None
    wins = [test.mean > 0 and test.spread is not None and test.spread.t_p < SIGNIFICANCE for test in tests]
    return sum(wins) / len(wins)


POWER = 0.8
MOST_SEEDS = 1000


def seeds_needed(mean: float, deviation: float, margin: float, tests: int = 1) -> int | None:
    """Seeds that would settle a comparison in four of five repetitions, if mean and deviation stay as observed.

    Settled means either that the paired t-test finds a difference, at SIGNIFICANCE / tests so that the
    strictest step of Holm's correction is allowed for, or that the t-interval lies inside ± margin. By
    the usual approximation with t quantiles, n seeds do if
    ``|mean| ≥ (t(1 − α/2) + t(POWER)) · deviation / √n`` for the first and
    ``margin − |mean| ≥ (t((1 + LEVEL)/2) + t((1 + POWER)/2)) · deviation / √n`` for the second.

    Args:
        mean: observed mean difference.
        deviation: observed sample standard deviation of the differences.
        margin: the largest difference that is not worth having, in the same unit.
        tests: how many methods are compared.

    Returns:
        At least :data:`MINIMUM_SEEDS`; None if more than :data:`MOST_SEEDS` would be needed.
    """
    counts = np.arange(MINIMUM_SEEDS, MOST_SEEDS + 1)
    error = deviation / np.sqrt(counts)
    found = stats.t.ppf(1 - SIGNIFICANCE / tests / 2, counts - 1) + stats.t.ppf(POWER, counts - 1)
    excluded = stats.t.ppf((1 + LEVEL) / 2, counts - 1) + stats.t.ppf((1 + POWER) / 2, counts - 1)
    enough = (abs(mean) >= found * error) | (margin - abs(mean) >= excluded * error)
    return int(counts[enough.argmax()]) if enough.any() else None
