"""Feature matching: distances of batch means, not means of distances."""

from __future__ import annotations

import pytest
import torch

from aral.losses.feature_matching import absolute_distance, squared_distance

from .by_hand import DTYPES, check_gradients, near

# Means: (2, 0, 1) and (0.5, 1, 1.5); differences 1.5, −1, −0.5.
UNLABELLED = [[1.0, -1.0, 4.0], [3.0, 1.0, -2.0]]
GENERATED = [[0.0, 1.0, 1.5], [1.0, 3.0, 3.5], [0.5, -1.0, -0.5]]


@DTYPES
def test_distances_by_hand(dtype: torch.dtype) -> None:
    unlabelled, generated = torch.tensor(UNLABELLED, dtype=dtype), torch.tensor(GENERATED, dtype=dtype)
    squared, absolute = squared_distance(unlabelled, generated), absolute_distance(unlabelled, generated)
    assert squared.dtype == absolute.dtype == dtype
    assert squared.item() == near(1.5**2 + 1.0**2 + 0.5**2, dtype)
    assert absolute.item() == near((1.5 + 1.0 + 0.5) / 3, dtype)


@pytest.mark.parametrize("loss", [squared_distance, absolute_distance])
def test_gradients_agree_with_central_differences(loss: object) -> None:
    assert callable(loss)
    check_gradients(
        loss, torch.tensor(UNLABELLED, dtype=torch.float64), torch.tensor(GENERATED, dtype=torch.float64)
    )


@pytest.mark.parametrize("loss", [squared_distance, absolute_distance])
def test_zero_when_the_means_agree_and_symmetric(loss: object) -> None:
    assert callable(loss)
    unlabelled, generated = torch.tensor(UNLABELLED), torch.tensor(GENERATED)
    assert loss(torch.tensor([[0.0, 4.0], [2.0, 0.0]]), torch.tensor([[1.0, 2.0]])) == 0
    assert loss(unlabelled, generated) == loss(generated, unlabelled) > 0
    assert loss(unlabelled.repeat(4, 1), generated).item() == pytest.approx(
        loss(unlabelled, generated).item()
    )


def test_twice_the_distance() -> None:
    unlabelled, zero = torch.tensor(UNLABELLED), torch.zeros(1, 3)
    assert squared_distance(2 * unlabelled, zero) == 4 * squared_distance(unlabelled, zero)
    assert absolute_distance(2 * unlabelled, zero) == 2 * absolute_distance(unlabelled, zero)
