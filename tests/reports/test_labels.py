"""Areas and labels needed against geometry done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.reports.labels import (
    Curve,
    LabelsNeeded,
    NotReached,
    Reached,
    ReachedAtStart,
    common_range,
    labels_needed,
    labels_saved,
    mean_curve,
    normalised_area,
)
from aral.reports.statistics import Interval


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
