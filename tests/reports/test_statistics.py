"""Statistics against numbers worked out by hand or from printed tables of Student's t."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.reports.statistics import holm, paired_test, seeds_needed, sign_flip_p, t_interval, win_share
from aral.reports.tables import CurvePoint


def array(*values: float) -> np.ndarray:
    """Numbers as float64."""
    return np.array(values, dtype=np.float64)


def test_the_interval_of_three_numbers() -> None:
    # 1, 2, 3: mean 2, deviation 1; the printed t of 97.5 % with 2 degrees of freedom is 4.303.
    interval = t_interval(2.0, 1.0, 3)
    assert interval.low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4)
    assert interval.high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-4)
    assert CurvePoint("m", 10, 2.0, 1.0, 3).interval == interval
    assert CurvePoint("m", 10, 2.0, None, 1).interval is None


def test_a_paired_test_by_hand() -> None:
    # Differences 1, 2, 3: t = 2 / (1 / √3) = 3.4641. With 2 degrees of freedom the two-sided p has the closed
    # form 1 − t / √(t² + 2) = 1 − 3.4641 / √14 = 0.0742.
    test = paired_test(array(5, 7, 9), array(4, 5, 6))
    assert test.differences == (1, 2, 3)
    assert test.mean == pytest.approx(2)
    assert test.spread is not None
    assert test.spread.deviation == pytest.approx(1)
    assert test.spread.t_p == pytest.approx(1 - math.sqrt(12 / 14))
    assert test.spread.interval.low == pytest.approx(-0.4841, abs=1e-4)
    assert test.flip_p == 0.25


@pytest.mark.parametrize(
    ("method", "baseline", "mean", "t_p"),
    [
        (array(0.3, 0.3), array(0.3, 0.3), 0.0, 1.0),
        (array(0.3, 0.7, 0.9), array(0.2, 0.6, 0.8), 0.1, 0.0),
        (array(0.1 + 0.2, 0.3), array(0.3, 0.1 + 0.2), 0.0, 1.0),
    ],
)
def test_differences_without_a_deviation(
    method: np.ndarray, baseline: np.ndarray, mean: float, t_p: float
) -> None:
    test = paired_test(method, baseline)
    assert test.mean == pytest.approx(mean)
    assert test.spread is not None
    assert (test.spread.deviation, test.spread.t_p) == (0.0, t_p)
    assert "-0.0" not in repr(test.differences)


def test_a_single_seed_has_no_spread() -> None:
    test = paired_test(array(0.5), array(0.25))
    assert (test.differences, test.mean, test.flip_p, test.spread) == ((0.25,), 0.25, 1.0, None)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        # Of ±1 ±2 ±3 only +6 and −6 are as far from zero as 6.
        (array(1, 2, 3), 2 / 8),
        # −1 + 2 + 3 = 4: sums ±6, ±4, ±2, 0, 0; four of eight are at least 4 from zero.
        (array(-1, 2, 3), 4 / 8),
        (array(1, -1), 1.0),
        (array(0, 0, 0), 1.0),
        (array(0.1, 0.2, 0.3, 0.4, 0.5), 2 / 32),
    ],
)
def test_sign_flips_of_tiny_cases(differences: np.ndarray, p: float) -> None:
    assert sign_flip_p(differences) == p


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=7))
def test_sign_flips_against_plain_enumeration(differences: list[int]) -> None:
    sums = [
        sum(sign * value for sign, value in zip(signs, differences, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = sum(abs(each) >= abs(sum(differences)) for each in sums) / len(sums)
    assert sign_flip_p(np.array(differences) / 64) == expected


def test_many_sign_flips_are_sampled_and_fixed() -> None:
    values = np.where(np.arange(20) < 15, 1.0, -1.0)
    # The sum is 10, and P(|S| ≥ 10) = 2 · P(at least 15 of 20 heads) = 2 · 21700 / 2²⁰.
    exact = 2 * sum(math.comb(20, heads) for heads in range(15, 21)) / 2**20
    assert sign_flip_p(values) == pytest.approx(exact, abs=0.006)
    assert sign_flip_p(values) == sign_flip_p(values)
    assert sign_flip_p(np.ones(40)) == 2**-14, "the observed signs count, so it is never zero"


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04: 3 · 0.01 = 0.03; 2 · 0.02 = 0.04; 1 · 0.04 = 0.04.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    # 2 · 0.03 = 0.06 would be above 0.05, which must then not be below it.
    assert holm([0.03, 0.05]) == pytest.approx([0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_keeps_the_order_and_is_between_plain_and_bonferroni(p_values: list[float]) -> None:
    corrected = holm(p_values)
    for plain, after in zip(p_values, corrected, strict=True):
        assert plain <= after <= min(1.0, len(p_values) * max(p_values))
    for one, other in itertools.combinations(range(len(p_values)), 2):
        if p_values[one] < p_values[other]:
            assert corrected[one] <= corrected[other]


sixty_fourths = st.integers(0, 64).map(lambda count: count / 64)
pairs = st.lists(st.tuples(sixty_fourths, sixty_fourths), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(pairs, sixty_fourths)
def test_a_constant_on_both_sides_changes_nothing(scores: list[tuple[float, float]], constant: float) -> None:
    method, baseline = (array(*column) for column in zip(*scores, strict=True))
    assert paired_test(method + constant, baseline + constant) == paired_test(method, baseline)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_swapping_the_sides_flips_the_sign(scores: list[tuple[float, float]]) -> None:
    method, baseline = (array(*column) for column in zip(*scores, strict=True))
    forward, back = paired_test(method, baseline), paired_test(baseline, method)
    assert back.mean == -forward.mean
    assert back.flip_p == forward.flip_p
    if forward.spread is None or back.spread is None:
        assert forward.spread is back.spread
        return
    assert back.spread.t_p == pytest.approx(forward.spread.t_p)
    assert back.spread.interval.low == pytest.approx(-forward.spread.interval.high)


def test_seeds_needed_by_hand() -> None:
    # Mean = deviation: 9 seeds give (2.306 + 0.889) / 3 = 1.065 > 1, 10 give (2.262 + 0.883) / √10 = 0.995 ≤ 1.
    assert seeds_needed(0.02, 0.02, margin=0.005) == 10
    assert seeds_needed(-0.02, 0.02, margin=0.005) == 10
    # No difference, deviation = margin: 12 seeds give (2.201 + 1.363) / √12 = 1.029 > 1, 13 give
    # (2.179 + 1.356) / √13 = 0.980 ≤ 1.
    assert seeds_needed(0.0, 0.005, margin=0.005) == 13
    assert seeds_needed(0.02, 0.02, margin=0.005, tests=4) > 10
    assert seeds_needed(0.005, 1.0, margin=0.005) is None
    assert seeds_needed(0.1, 0.0, margin=0.005) == 3


def test_the_share_of_wins() -> None:
    clear, even, lost, few = array(1, 2, 1), array(-1, 0, 1), array(-1, -2, -1), array(5, 5)
    # t of 1, 2, 1 is (4/3) / (0.57735 / √3) = 4, p = 1 − 4 / √18 = 0.057: not yet significant.
    assert win_share([clear]) == 0.0
    # t of 2, 3, 2 is (7/3) / (1/3) = 7, p = 1 − 7 / √51 = 0.0198.
    assert win_share([clear + 1, even, lost - 1, few]) == pytest.approx(1 / 3)
    assert win_share([few]) is None
