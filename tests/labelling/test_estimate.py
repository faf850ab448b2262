"""Wilson's interval against values worked out by hand, its coverage, and figures by class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies

from aral.labelling.estimate import class_figures, measure, wilson


def test_wilson_of_eight_of_ten() -> None:
    # z² = 3.8415; centre (0.8 + 0.19207) / 1.38415 = 0.71674; half 1.96 / 1.38415 · √(0.016 + 0.0096036)
    # = 1.41602 · 0.160014 = 0.22658.
    found = wilson(8, 10)
    assert (found.accuracy, found.count) == (0.8, 10)
    assert found.low == pytest.approx(0.4902, abs=2e-4)
    assert found.high == pytest.approx(0.9433, abs=2e-4)


def test_no_error_among_ten_is_no_proof() -> None:
    # Of p = 1 the lower end is 1 / (1 + z²/n) = 1 / 1.38415.
    assert wilson(10, 10).low == pytest.approx(0.72247, abs=1e-4)
    assert wilson(10, 10).high == 1.0
    assert wilson(0, 10).high == pytest.approx(1 - 0.72247, abs=1e-4)


@given(
    strategies.integers(1, 500).flatmap(
        lambda n: strategies.tuples(strategies.integers(0, n), strategies.just(n))
    )
)
def test_the_share_lies_inside_and_mirrors(counts: tuple[int, int]) -> None:
    right, count = counts
    found, mirrored = wilson(right, count), wilson(count - right, count)
    assert 0 <= found.low <= found.accuracy <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize("truth", [0.5, 0.8, 0.95])
def test_it_covers_the_truth_as_often_as_it_says(truth: float) -> None:
    draws = np.random.default_rng(0).binomial(60, truth, 2000)
    covered = [wilson(int(right), 60) for right in draws]
    share = np.mean([each.low <= truth <= each.high for each in covered])
    assert 0.93 <= share <= 0.985


def test_measured_by_class() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    estimate, confusion = measure(probabilities, np.array([0, 1, 1, 1]))
    assert estimate is not None and (estimate.accuracy, estimate.count) == (0.75, 4)
    assert confusion.tolist() == [[1, 0], [1, 2]]
    first, second = class_figures((7, 9), confusion, np.array([1, 1, 0]))
    assert (first.class_id, first.labels, second.class_id, second.labels) == (7, 1, 9, 2)
    assert first.recall is not None and second.recall is not None
    assert (first.recall.accuracy, second.recall.accuracy, second.recall.count) == (1.0, 2 / 3, 3)


def test_without_labels_nothing_is_measured() -> None:
    nothing, confusion = measure(np.empty((0, 2)), np.empty(0, dtype=np.int64))
    assert nothing is None and confusion.sum() == 0
    assert class_figures((0, 1), confusion, np.empty(0, dtype=np.int64))[0].recall is None
