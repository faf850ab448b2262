"""The tests of a comparison: by the deviation pooled over all methods and seeds, or by paired differences alone.

With three to nine seeds the paired differences of one method say little about their own deviation. The model

    score of a run = effect of its method + effect of its seed + residual

estimates the deviation of the residuals from all methods at once: with M methods and n seeds it has (M − 1)(n − 1)
degrees of freedom where paired differences have n − 1. This presupposes equal deviations, so each method's is compared
with that of the others by an F test. The pairs of a method whose deviation is larger are judged by the paired t-test,
and one whose deviation is far larger is left out, so that it does not hide what the others show. Where seeds or methods
are so few that the F test would often miss a method with :data:`UNEVEN_RATIO` times the deviation of the others, the
degrees of freedom are those of the residual variance with such a method (Box, Annals of Mathematical Statistics 25,
1954). docs/verdicts.md has the power and the rate of false verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64
from scipy import special

from aral.benchmarking.statistics import (
    DECIMALS,
    MINIMUM_SEEDS,
    POOLED_BELOW,
    PairedTest,
    TTest,
    holm,
    paired_test,
    t_test,
)

UNEVEN_LEVEL = 0.02
"""A method's deviation is uneven if the p-value of its F test is below this."""

OUTLYING_LEVEL = 0.001
"""A method is left out of the pooled deviation if the p-value of its F test is below this."""

UNEVEN_RATIO = 4.0
"""A method with this many times the deviation of the others must not raise the rate of false verdicts."""

MOST_MISSED = 0.1
"""Probability of missing such a method above which degrees of freedom are counted as if there were one."""

LEAST_METHODS = 3
"""With two methods the residuals are those of the paired differences, and nothing is pooled."""

Scores = Mapping[str, Mapping[int, float]]
"""Score of a run, such as the area under its learning curve, by method and seed. Runs may be missing."""


@dataclass(frozen=True)
class MethodDeviation:
    """The deviation of one method beside that of the others.

    Attributes:
        ratio: F, the method's residual variance divided by that of the layout without it.
        p: one-sided p-value of F: the probability of a ratio as large if all deviations are equal.
        missed: probability that this F test misses a method with :data:`UNEVEN_RATIO` times the deviation.
        cautious_degrees_of_freedom: of the residual variance of the layout if this method had that deviation.
    """

    ratio: float
    p: float
    missed: float
    cautious_degrees_of_freedom: float

    @property
    def uneven(self) -> bool:
        """Whether the deviation is significantly larger than that of the others."""
        return self.p < UNEVEN_LEVEL


@dataclass(frozen=True)
class Pool:
    """Residuals of the methods that a deviation is pooled over.

    Attributes:
        deviation: residual standard deviation of one run, above zero; that of a difference is √2 times as large.
        degrees_of_freedom: runs minus estimated effects; (M − 1)(n − 1) if no run is missing.
        methods: the methods that contribute residuals, at least three, and whose deviation can be compared with that
            of the others.
    """

    deviation: float
    degrees_of_freedom: int
    methods: Mapping[str, MethodDeviation]


@dataclass(frozen=True)
class TwoWay:
    """The pooled deviation of a two-way layout.

    Attributes:
        pool: None if fewer than three methods contribute residuals, or all residuals are zero (to 12 decimals).
        outlying: methods that were left out, because their deviation is far larger than that of the others.
    """

    pool: Pool | None
    outlying: tuple[str, ...]

    def uneven(self, *methods: str) -> tuple[str, ...]:
        """Those of the methods whose deviation is significantly larger than that of the others."""
        pooled = self.pool.methods if self.pool else {}
        return tuple(
            name for name in methods if name in self.outlying or (name in pooled and pooled[name].uneven)
        )

    def test(self, method: str, baseline: str, mean: float, count: int) -> TTest | None:
        """Test by the pooled deviation whether the mean difference of two methods is zero.

        The variance of the mean is 2 · deviation² / count. If no run is missing, the statistic has Student's t
        distribution under the model; if some are, the test is slightly conservative, because the mean over the shared
        seeds ignores what the other runs say about the difference.

        Args:
            method: a method of the layout.
            baseline: another.
            mean: mean of method − baseline over the seeds that both have.
            count: number of these seeds.

        Returns:
            None if one of the two contributes no residuals, cannot be compared with the others, or has an uneven
            deviation: then the paired t-test decides.
        """
        both = [self.pool.methods.get(name) for name in (method, baseline)] if self.pool else []
        found = [each for each in both if each is not None and not each.uneven]
        if self.pool is None or len(found) < len(both):
            return None
        degrees = float(self.pool.degrees_of_freedom)
        if any(each.missed > MOST_MISSED for each in found):
            degrees = min(degrees, *(each.cautious_degrees_of_freedom for each in found))
        return t_test(mean, math.sqrt(2) * self.pool.deviation, count, degrees)


def two_way(scores: Scores) -> TwoWay:
    """Fit methods and seeds by least squares, again without the method of the largest F while that is outlying.

    A method contributes residuals if it shares at least two seeds with others.

    Args:
        scores: by method and seed, higher = better.
    """
    pool, outlying = _pool(scores), tuple[str, ...]()
    while pool:
        worst, deviation = max(pool.methods.items(), key=lambda item: item[1].ratio)
        if deviation.p >= OUTLYING_LEVEL:
            break
        outlying = (*outlying, worst)
        pool = _pool({name: by_seed for name, by_seed in scores.items() if name not in outlying})
    return TwoWay(pool, outlying)


def _pool(scores: Scores) -> Pool | None:
    cells = tuple((method, seed) for method, by_seed in scores.items() for seed in by_seed)
    layout = _layout(cells)
    if len(layout.methods) < LEAST_METHODS:
        return None
    values = np.array([scores[method][seed] for method, seed in cells])
    values = values - values.mean()
    squares = _squares(layout.residual, values)
    deviation = round(math.sqrt(squares / layout.degrees_of_freedom), DECIMALS)
    if deviation == 0.0:
        return None
    return Pool(
        deviation,
        layout.degrees_of_freedom,
        {name: _deviation(one, squares, values) for name, one in layout.methods.items()},
    )


# The tests of a comparison


@dataclass(frozen=True)
class PairTest:
    """Tests of one method against its baseline, before any correction.

    Attributes:
        paired: the paired differences.
        pooled: the test by the pooled deviation where it decides.
        uneven: of the two methods, those with an uneven deviation.
        outlying: of all methods, those that are left out of the pooled deviation.
    """

    paired: PairedTest
    pooled: TTest | None
    uneven: tuple[str, ...]
    outlying: tuple[str, ...]

    @property
    def deciding(self) -> TTest | None:
        """The test that decides."""
        return self.pooled or self.paired.t_test


def pair_test(scores: Scores, layout: TwoWay, method: str, baseline: str) -> PairTest | None:
    """Test a method against its baseline over the seeds that both have.

    Below :data:`POOLED_BELOW` seeds the pooled deviation decides, unless that of one of the two is uneven.

    Args:
        scores: of all methods of the comparison, by method and seed.
        layout: :func:`two_way` of these scores.
        method: a method.
        baseline: another.

    Returns:
        None if they share no seed.
    """
    own, base = scores.get(method, {}), scores.get(baseline, {})
    seeds = sorted(own.keys() & base.keys())
    if not seeds:
        return None
    paired = paired_test(np.array([own[seed] for seed in seeds]), np.array([base[seed] for seed in seeds]))
    if not MINIMUM_SEEDS <= paired.count < POOLED_BELOW:
        return PairTest(paired, None, (), ())
    pooled = layout.test(method, baseline, paired.mean, paired.count)
    return PairTest(paired, pooled, layout.uneven(method, baseline), layout.outlying)


def corrected(tests: Sequence[TTest | None]) -> list[float]:
    """p-values after Holm's correction; 1 where there is no test because all differences are equal."""
    return holm([1.0 if test is None else test.p for test in tests])


# The layout


@dataclass(frozen=True, eq=False)
class _Method:
    """What the cells alone say on one method: the layout without it, and degrees of freedom of both parts."""

    without: Float64[np.ndarray, "N N"]
    own_degrees: int
    other_degrees: int
    missed: float
    cautious_degrees: float


@dataclass(frozen=True, eq=False)
class _Layout:
    """N runs: the N×N matrix that maps scores to residuals, its rank, and the methods that contribute."""

    residual: Float64[np.ndarray, "N N"]
    degrees_of_freedom: int
    methods: Mapping[str, _Method]


def _deviation(method: _Method, squares: float, values: Float64[np.ndarray, " N"]) -> MethodDeviation:
    others = _squares(method.without, values)
    own_variance = max(0.0, squares - others) / method.own_degrees
    other_variance = others / method.other_degrees
    if round(math.sqrt(other_variance), DECIMALS) == 0.0:
        ratio, p = math.inf, 0.0
    else:
        ratio = own_variance / other_variance
        p = float(special.fdtrc(method.own_degrees, method.other_degrees, ratio))
    return MethodDeviation(ratio, p, method.missed, method.cautious_degrees)


def _squares(residual: Float64[np.ndarray, "N N"], values: Float64[np.ndarray, " N"]) -> float:
    residuals = residual @ values
    return float(residuals @ residuals)


@lru_cache(maxsize=16)
def _layout(cells: tuple[tuple[str, int], ...]) -> _Layout:
    everything = np.ones(len(cells), dtype=bool)
    residual, degrees = _residual(cells, everything)
    methods = {}
    for name in dict.fromkeys(method for method, _ in cells):
        own = np.array([method == name for method, _ in cells])
        without, other_degrees = _residual(cells, ~own)
        if degrees > other_degrees > 0:
            methods[name] = _method(residual, without, own, degrees - other_degrees, other_degrees)
    return _Layout(residual, degrees, methods)


def _residual(cells: tuple[tuple[str, int], ...], used: np.ndarray) -> tuple[Float64[np.ndarray, "N N"], int]:
    """The matrix that maps the scores of the used cells to their residuals, zero elsewhere, and its rank."""
    rows = [cell for cell, is_used in zip(cells, used, strict=True) if is_used]
    names, seeds = (list(dict.fromkeys(each)) for each in zip(*rows, strict=True)) if rows else ([], [])
    effects = np.zeros((len(rows), len(names) + len(seeds)))
    for row, (name, seed) in enumerate(rows):
        effects[row, names.index(name)] = effects[row, len(names) + seeds.index(seed)] = 1.0
    matrix = np.zeros((len(cells), len(cells)))
    matrix[np.ix_(used, used)] = np.eye(len(rows)) - effects @ np.linalg.pinv(effects)
    return matrix, round(float(np.trace(matrix)))


def _method(
    residual: Float64[np.ndarray, "N N"],
    without: Float64[np.ndarray, "N N"],
    own: np.ndarray,
    own_degrees: int,
    other_degrees: int,
) -> _Method:
    variances = np.where(own, UNEVEN_RATIO**2, 1.0)
    expected_ratio = float(np.diag(residual - without) @ variances) / own_degrees
    bound = special.fdtri(own_degrees, other_degrees, 1 - UNEVEN_LEVEL)
    missed = float(special.fdtr(own_degrees, other_degrees, bound / expected_ratio))
    weighted = residual * variances
    cautious = float(np.trace(weighted) ** 2 / np.sum(weighted * weighted.T))
    return _Method(without, own_degrees, other_degrees, missed, cautious)
