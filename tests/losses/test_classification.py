"""Cross-entropy of eq. 9 for hard and soft rows."""

from __future__ import annotations

import math

import pytest
import torch

from aral.losses.classification import cross_entropy

from .by_hand import DTYPES, check_gradients, gradients, mean, near

LOGITS = [[1.0, 2.0, -0.5], [0.0, 3.0, 0.5]]
HARD = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
SOFT = [[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


@DTYPES
@pytest.mark.parametrize("classes", [HARD, SOFT], ids=["hard", "soft"])
def test_cross_entropy_by_hand(dtype: torch.dtype, classes: list[list[float]]) -> None:
    expected = mean(
        [
            -sum(y * math.log(p) for y, p in zip(truth, softmax(row), strict=True))
            for truth, row in zip(classes, LOGITS, strict=True)
        ]
    )
    found = cross_entropy(torch.tensor(LOGITS, dtype=dtype), torch.tensor(classes, dtype=dtype))
    assert found.dtype == dtype
    assert found.item() == near(expected, dtype)


def test_gradient_is_probability_minus_class() -> None:
    logits, classes = (torch.tensor(values, dtype=torch.float64) for values in (LOGITS, SOFT))
    slope = gradients(lambda c: cross_entropy(c, classes), logits)[0]
    by_hand = [
        [(p - y) / 2 for p, y in zip(softmax(row), truth, strict=True)]
        for row, truth in zip(LOGITS, SOFT, strict=True)
    ]
    torch.testing.assert_close(slope, torch.tensor(by_hand, dtype=torch.float64))
    check_gradients(cross_entropy, logits, classes)


def test_right_answers_cost_less_than_wrong_ones() -> None:
    classes = torch.tensor(HARD)
    right, wrong = 4 * classes, 4 * classes.roll(1, dims=1)
    assert cross_entropy(right, classes) < cross_entropy(torch.zeros(2, 3), classes)
    assert cross_entropy(torch.zeros(2, 3), classes).item() == pytest.approx(math.log(3))
    assert cross_entropy(wrong, classes) > math.log(3)


def test_a_repeated_batch_has_the_same_mean() -> None:
    logits, classes = torch.tensor(LOGITS), torch.tensor(SOFT)
    assert cross_entropy(logits.repeat(3, 1), classes.repeat(3, 1)).item() == pytest.approx(
        cross_entropy(logits, classes).item()
    )
