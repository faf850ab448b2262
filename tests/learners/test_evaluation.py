"""Evaluation by hand: accuracy, log-likelihood, confusion and calibration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score

from aral.acquisition import Need, Predictions
from aral.learners.evaluation import class_recalls, evaluate, evaluate_probabilities, metrics_of
from aral.learners.interface import Learner
from aral.types import ImageSet, LabelledSet


def classes(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


# Five images of three classes: right, right, wrong, wrong, right.
PROBABILITIES = np.array(
    [[0.90, 0.05, 0.05], [0.10, 0.55, 0.35], [0.50, 0.20, 0.30], [0.05, 0.91, 0.04], [0.20, 0.28, 0.52]]
)
TRUE = classes(0, 1, 2, 0, 2)


def test_by_hand() -> None:
    found = evaluate_probabilities(PROBABILITIES, TRUE, 3)
    assert found.accuracy == pytest.approx(3 / 5)
    logs = math.log(0.90) + math.log(0.55) + math.log(0.30) + math.log(0.05) + math.log(0.52)
    assert found.negative_log_likelihood == pytest.approx(-logs / 5)
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert found.numbers == {
        "accuracy": found.accuracy,
        "balanced accuracy": pytest.approx((1 / 2 + 1 + 1 / 2) / 3),
        "macro F1": pytest.approx((2 / 4 + 2 / 3 + 2 / 3) / 3),
        "negative log-likelihood": found.negative_log_likelihood,
        "calibration error": found.calibration_error,
    }


def test_calibration_error_by_hand() -> None:
    """Of 15 bins, 0.90 and 0.91 share 13/15 to 14/15; 0.50 and 0.52 share 7/15 to 8/15; 0.55 is next to them."""
    high = abs((0.90 + 0.91) / 2 - 1 / 2)
    low = abs((0.50 + 0.52) / 2 - 1 / 2)
    single = abs(0.55 - 1.0)
    expected = 2 / 5 * high + 2 / 5 * low + 1 / 5 * single
    assert evaluate_probabilities(PROBABILITIES, TRUE, 3).calibration_error == pytest.approx(expected)


def test_calibration_within_a_bin_may_cancel_but_not_between_bins() -> None:
    within = np.tile([0.75, 0.25], (4, 1))
    assert evaluate_probabilities(within, classes(0, 0, 0, 1), 2).calibration_error == pytest.approx(0.0)
    between = np.array([[0.9, 0.1], [0.6, 0.4]])  # too timid by 0.1, too bold by 0.6
    found = evaluate_probabilities(between, classes(0, 1), 2).calibration_error
    assert found == pytest.approx((0.1 + 0.6) / 2)


def test_certainty_belongs_to_the_last_bin() -> None:
    certain = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    found = evaluate_probabilities(certain, classes(0, 1, 1, 0), 2)
    assert found.calibration_error == pytest.approx(1 / 4)
    assert found.negative_log_likelihood == pytest.approx(-math.log(1e-12) / 4)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 1)), min_size=1, max_size=20)
)
def test_bounds_and_order(rows: list[tuple[float, float, int]]) -> None:
    raw = np.array([row[:2] for row in rows])
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    true = classes(*(row[2] for row in rows))
    found = evaluate_probabilities(probabilities, true, 2)
    assert 0 <= found.accuracy <= 1 and 0 <= found.calibration_error <= 1
    assert found.negative_log_likelihood >= 0
    assert found.confusion.sum() == len(rows)
    assert found.confusion.sum(axis=1).tolist() == np.bincount(true, minlength=2).tolist()
    assert np.trace(found.confusion) == pytest.approx(found.accuracy * len(rows))
    again = evaluate_probabilities(probabilities[::-1].copy(), true[::-1].copy(), 2)
    assert again.numbers == pytest.approx(found.numbers)


def test_a_class_nobody_has_keeps_its_row() -> None:
    found = evaluate_probabilities(np.array([[0.6, 0.3, 0.1, 0.0]]), classes(1), 4)
    assert found.confusion.shape == (4, 4)
    assert found.confusion[1, 0] == 1 == found.confusion.sum()


def test_evaluate_reads_probabilities_in_order_of_id() -> None:
    """The learner is asked for one output, of exactly the test images."""
    images = ImageSet.of(torch.zeros(9, 1, 2, 2, dtype=torch.uint8)).subset(classes(8, 1, 4, 6, 2))
    asked: list[tuple[list[int], list[Need]]] = []

    def predict(self: Learner, what: ImageSet, needs: list[Need], stream: object) -> Predictions:
        asked.append((what.ids.tolist(), list(needs)))
        return Predictions(what.ids, probabilities=torch.from_numpy(PROBABILITIES).float())

    # A learner that can do nothing else.
    members = dict.fromkeys(Learner.__abstractmethods__) | {"predict": predict}
    found = evaluate(type("Predictor", (Learner,), members)(), LabelledSet(images, TRUE, 3))
    assert asked == [([1, 2, 4, 6, 8], [Need.PROBABILITIES])]
    assert found.accuracy == pytest.approx(0.6)
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_metrics_of_a_confusion_matrix_by_hand() -> None:
    """Classes of 90, 8 and 2 images: always predicting the first is 90 % accurate, and no better than chance."""
    confusion = np.array([[80, 10, 0], [4, 4, 0], [1, 0, 1]])
    assert class_recalls(confusion).tolist() == [80 / 90, 0.5, 0.5]
    assert metrics_of(confusion) == {
        "balanced accuracy": pytest.approx((80 / 90 + 0.5 + 0.5) / 3),
        # 2·TP / (2·TP + FP + FN)
        "macro F1": pytest.approx((160 / (160 + 5 + 10) + 8 / (8 + 10 + 4) + 2 / (2 + 0 + 1)) / 3),
    }
    constant = metrics_of(np.array([[90, 0, 0], [8, 0, 0], [2, 0, 0]]))
    assert constant["balanced accuracy"] == pytest.approx(1 / 3)
    assert constant["macro F1"] == pytest.approx((180 / 190) / 3)


def test_classes_without_images_are_left_out() -> None:
    """The third class has no image; it is predicted once, so F1 counts it and recall does not. The fourth is absent."""
    confusion = np.array([[3, 0, 1, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    recalls = class_recalls(confusion)
    assert recalls[:2].tolist() == [0.75, 1.0] and np.isnan(recalls[2:]).all()
    found = metrics_of(confusion)
    assert found["balanced accuracy"] == pytest.approx(1.75 / 2)
    assert found["macro F1"] == pytest.approx((6 / 7 + 1 + 0) / 3)
    assert metrics_of(np.zeros((2, 2), np.int64)) == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    confusion = np.zeros((4, 4), dtype=np.int64)
    np.add.at(confusion, (true, predicted), 1)
    found = metrics_of(confusion)
    present = np.unique(true)
    recalls = recall_score(true, predicted, labels=present, average="macro", zero_division=0.0)
    assert found["balanced accuracy"] == pytest.approx(recalls)
    assert found["macro F1"] == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0.0))
