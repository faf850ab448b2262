"""Realness from class logits: D = Z / (Z + 1)."""

from __future__ import annotations

import math

import pytest
import torch

from aral.losses.released import discriminator_loss

from .by_hand import DTYPES, check_gradients, mean, near

UNLABELLED = [[0.5, -1.0, 2.0], [0.0, 0.3, -0.7]]
GENERATED = [[-1.0, 1.0, 0.2], [-3.0, -2.0, -4.0]]


def real_share(logits: list[float]) -> float:
    """Z / (Z + 1) of one image, as the paper on semi-supervised GANs writes it."""
    z = sum(math.exp(value) for value in logits)
    return z / (z + 1)


@DTYPES
def test_discriminator_loss_by_hand(dtype: torch.dtype) -> None:
    """−½ mean log D(x_U) − ½ mean log(1 − D(x_G)): the printed softplus form is the same number."""
    real = mean([-math.log(real_share(row)) for row in UNLABELLED])
    fake = mean([-math.log(1 - real_share(row)) for row in GENERATED])
    found = discriminator_loss(torch.tensor(UNLABELLED, dtype=dtype), torch.tensor(GENERATED, dtype=dtype))
    assert found.dtype == dtype
    assert found.item() == near(0.5 * real + 0.5 * fake, dtype)


def test_gradients_agree_with_central_differences() -> None:
    check_gradients(
        discriminator_loss,
        torch.tensor(UNLABELLED, dtype=torch.float64),
        torch.tensor(GENERATED, dtype=torch.float64),
    )


def test_falls_as_unlabelled_logits_rise_and_generated_logits_fall() -> None:
    unlabelled, generated = torch.tensor(UNLABELLED), torch.tensor(GENERATED)
    value = discriminator_loss(unlabelled, generated)
    assert discriminator_loss(unlabelled + 1, generated) < value
    assert discriminator_loss(unlabelled, generated - 1) < value
    assert discriminator_loss(unlabelled - 1, generated) > value


def test_large_logits_stay_finite() -> None:
    big = torch.tensor([[300.0, 0.0], [0.0, 500.0]])
    assert discriminator_loss(big, -big - 1000).item() == pytest.approx(0.0, abs=1e-4)
