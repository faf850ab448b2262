"""Statistics against numbers computed by hand or from printed tables of Student's t."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.benchmarking.statistics import (
    Curve,
    Interval,
    LabelsNeeded,
    NotReached,
    Reached,
    ReachedAtStart,
    common_range,
    holm,
    labels_needed,
    labels_saved,
    mean_curve,
    normalised_area,
    paired_test,
    seeds_needed,
    t_interval,
    t_test,
    win_share,
)


def array(*values: float) -> np.ndarray:
    """Numbers as float64."""
    return np.array(values, dtype=np.float64)


def test_the_interval_of_three_numbers() -> None:
    # 1, 2, 3: mean 2, deviation 1; the printed t of 97.5 % with 2 degrees of freedom is 4.303.
    interval = t_interval(2.0, 1.0, 3)
    assert interval.low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4)
    assert interval.high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-4)


def test_a_paired_test_by_hand() -> None:
    # Differences 1, 2, 3: t = 2 / (1 / √3) = 3.4641. With 2 degrees of freedom the two-sided p has the closed
    # form 1 − t / √(t² + 2) = 1 − 3.4641 / √14 = 0.0742.
    test = paired_test(array(5, 7, 9), array(4, 5, 6))
    assert test.differences == (1, 2, 3)
    assert test.mean == pytest.approx(2)
    assert test.t_test is not None
    assert (test.t_test.deviation, test.t_test.degrees_of_freedom) == (pytest.approx(1), 2)
    assert test.t_test.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert test.t_test.interval.low == pytest.approx(-0.4841, abs=1e-4)


def test_a_t_test_with_given_degrees_of_freedom() -> None:
    # t = 3 · √4 / 2 = 3; with 1 degree of freedom p = 1 − 2 · atan(3) / π, and the printed t of 97.5 % is 12.706.
    test = t_test(3.0, 2.0, 4, 1.0)
    assert test.p == pytest.approx(1 - 2 * math.atan(3) / math.pi)
    assert test.interval.high == pytest.approx(3 + 12.7062, abs=1e-4)


@pytest.mark.parametrize(
    ("method", "baseline", "mean"),
    [
        (array(0.3, 0.3), array(0.3, 0.3), 0.0),
        (array(0.3, 0.7, 0.9), array(0.2, 0.6, 0.8), 0.1),
        (array(0.1 + 0.2, 0.3), array(0.3, 0.1 + 0.2), 0.0),
    ],
)
def test_equal_differences_leave_nothing_to_test_against(
    method: np.ndarray, baseline: np.ndarray, mean: float
) -> None:
    test = paired_test(method, baseline)
    assert (test.mean, test.t_test) == (pytest.approx(mean), None)
    assert "-0.0" not in repr(test.differences)


def test_a_single_seed_has_no_test() -> None:
    test = paired_test(array(0.5), array(0.25))
    assert (test.differences, test.mean, test.t_test) == ((0.25,), 0.25, None)


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
    if forward.t_test is None or back.t_test is None:
        assert forward.t_test is back.t_test
        return
    assert back.t_test.p == pytest.approx(forward.t_test.p)
    assert back.t_test.interval.low == pytest.approx(-forward.t_test.interval.high)


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
    # Pooled over 12 methods 9 seeds have 88 degrees of freedom: (1.987 + 0.846) / 3 = 0.944 ≤ 1; 8 seeds have 77:
    # (1.991 + 0.847) / √8 = 1.003 > 1.
    assert seeds_needed(0.02, 0.02, margin=0.005, pooled=11.0) == 9


def test_the_share_of_wins() -> None:
    clear, even, lost, few = array(1, 2, 1), array(-1, 0, 1), array(-1, -2, -1), array(5, 5)
    # t of 1, 2, 1 is (4/3) / (0.57735 / √3) = 4, p = 1 − 4 / √18 = 0.057: not yet significant.
    assert win_share([clear]) == 0.0
    # t of 2, 3, 2 is (7/3) / (1/3) = 7, p = 1 − 7 / √51 = 0.0198.
    assert win_share([clear + 1, even, lost - 1, few]) == pytest.approx(1 / 3)
    assert win_share([few]) is None
    assert win_share([array(1, 1, 1)]) == 0.0, "equal differences leave nothing to test against"


def curve(**points: float) -> Curve:
    """A curve from accuracies by number of labels, written ``n10=0.5``."""
    labelled = np.array([int(name[1:]) for name in points])
    return Curve(labelled, np.array(list(points.values()), dtype=np.float64))


def reached(needed: LabelsNeeded) -> float:
    """The labels of a target that was reached between two rounds."""
    assert isinstance(needed, Reached)
    return needed.labels


def test_the_area_of_a_line_is_its_middle() -> None:
    assert normalised_area(curve(n10=0.2, n50=0.8), 10, 50) == pytest.approx(0.5)
    assert normalised_area(curve(n10=0.2, n20=0.35, n50=0.8), 10, 50) == pytest.approx(0.5)


def test_an_area_weighs_rounds_by_their_labels() -> None:
    # 0.4 on average over 10 labels, then 0.6 over 30: (4 + 18) / 40.
    bent = curve(n10=0.2, n20=0.6, n50=0.6)
    assert normalised_area(bent, 10, 50) == pytest.approx(0.55)
    # From 15 (0.4) to 20: 0.5 on average over 5; to 35: 0.6 over 15; (2.5 + 9) / 20.
    assert normalised_area(bent, 15, 35) == pytest.approx(0.575)
    assert normalised_area(bent, 15, 15) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="from 10 to 50"):
        normalised_area(bent, 5, 50)


curves = st.dictionaries(st.integers(1, 99), st.floats(0, 1), min_size=1, max_size=6).map(
    lambda points: Curve(np.array(sorted(points)), np.array([points[count] for count in sorted(points)]))
)


@settings(max_examples=80, deadline=None)
@given(curves)
def test_an_area_lies_between_the_extremes(of: Curve) -> None:
    area = normalised_area(of, of.first, of.last)
    assert of.accuracy.min() - 1e-12 <= area <= of.accuracy.max() + 1e-12


@settings(max_examples=80, deadline=None)
@given(curves, st.floats(0.01, 1))
def test_the_curve_has_the_target_where_it_is_first_reached(of: Curve, target: float) -> None:
    needed = labels_needed(of, target)
    below = of.accuracy < target
    match needed:
        case NotReached(labels):
            assert labels == of.last and below.all()
        case ReachedAtStart(labels):
            assert labels == of.first and not below[0]
        case Reached(labels):
            assert np.interp(labels, of.labelled, of.accuracy) == pytest.approx(target, abs=1e-6)
            assert below[of.labelled < labels - 1e-6].all()


def test_labels_needed_by_hand() -> None:
    rising = curve(n10=0.2, n20=0.4, n50=0.7)
    assert reached(labels_needed(rising, 0.3)) == pytest.approx(15.0)
    assert reached(labels_needed(rising, 0.6)) == pytest.approx(40.0)
    assert reached(labels_needed(rising, 0.7)) == pytest.approx(50.0)
    assert labels_needed(rising, 0.2) == ReachedAtStart(10)
    assert labels_needed(rising, 0.701) == NotReached(50)
    assert reached(labels_needed(curve(n10=0.2, n20=0.6, n30=0.1), 0.4)) == pytest.approx(15.0)


@pytest.mark.parametrize(
    ("method", "baseline", "saved"),
    [
        (Reached(15.0), Reached(40.0), (25.0, 25.0)),
        (Reached(40.0), Reached(15.0), (-25.0, -25.0)),
        (Reached(15.0), NotReached(50), (35.0, math.inf)),
        (NotReached(50), Reached(15.0), (-math.inf, -35.0)),
        (ReachedAtStart(10), Reached(40.0), (30.0, 40.0)),
        (ReachedAtStart(10), ReachedAtStart(10), (-10.0, 10.0)),
        (NotReached(50), NotReached(50), (-math.inf, math.inf)),
    ],
)
def test_labels_saved_as_far_as_they_are_known(
    method: LabelsNeeded, baseline: LabelsNeeded, saved: tuple[float, float]
) -> None:
    assert labels_saved(method, baseline) == Interval(*saved)


def test_a_mean_curve_covers_what_all_cover_and_interpolates() -> None:
    mean = mean_curve([curve(n10=0.2, n30=0.4), curve(n20=0.5, n40=0.9)])
    assert mean is not None
    assert mean.labelled.tolist() == [20, 30]
    # At 20: (0.3 + 0.5) / 2; at 30: (0.4 + 0.7) / 2.
    assert mean.accuracy.tolist() == pytest.approx([0.4, 0.55])
    assert mean_curve([curve(n10=0.2), curve(n20=0.5)]) is None
    assert common_range([]) is None
    assert common_range([curve(n10=0.2), curve(n10=0.5, n20=0.6)]) == (10, 10)


@pytest.mark.parametrize(
    ("labelled", "accuracy"),
    [([], []), ([10, 10], [0.1, 0.2]), ([20, 10], [0.1, 0.2]), ([10], [math.nan])],
)
def test_what_is_no_curve_cannot_be_made(labelled: list[int], accuracy: list[float]) -> None:
    with pytest.raises(ValueError, match="labels"):
        Curve(np.array(labelled, dtype=np.int64), np.array(accuracy, dtype=np.float64))
