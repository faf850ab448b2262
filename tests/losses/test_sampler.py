"""The sampler's game: S tells the pools apart, E makes both look labelled."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.losses.sampler import encoder_loss, sampler_loss

from .by_hand import DTYPES, check_gradients, gradients, mean, near, softplus

LABELLED = [2.0, -1.0]
UNLABELLED = [0.5, -3.0, 1.0]


@DTYPES
def test_losses_by_hand(dtype: torch.dtype) -> None:
    labelled, unlabelled = torch.tensor(LABELLED, dtype=dtype), torch.tensor(UNLABELLED, dtype=dtype)
    known = mean([softplus(-2.0), softplus(1.0)])
    sampler, encoder = sampler_loss(labelled, unlabelled), encoder_loss(labelled, unlabelled)
    assert sampler.dtype == encoder.dtype == dtype
    assert sampler.item() == near(known + mean([softplus(0.5), softplus(-3.0), softplus(1.0)]), dtype)
    assert encoder.item() == near(known + mean([softplus(-0.5), softplus(3.0), softplus(-1.0)]), dtype)


def test_gradients_by_hand_and_by_central_differences() -> None:
    labelled, unlabelled = (torch.tensor(values, dtype=torch.float64) for values in (LABELLED, UNLABELLED))
    check_gradients(sampler_loss, labelled, unlabelled)
    check_gradients(encoder_loss, labelled, unlabelled)
    known, unknown = gradients(sampler_loss, labelled, unlabelled)
    assert known.tolist() == pytest.approx([-1 / (1 + math.exp(s)) / 2 for s in LABELLED])
    assert unknown.tolist() == pytest.approx([1 / (1 + math.exp(-s)) / 3 for s in UNLABELLED])


@settings(deadline=None)
@given(
    labelled=st.lists(st.floats(-20, 20), min_size=2, max_size=5),
    unlabelled=st.lists(st.floats(-20, 20), min_size=2, max_size=5),
    rise=st.floats(0.01, 5),
)
def test_monotonicity(labelled: list[float], unlabelled: list[float], rise: float) -> None:
    """S gains from higher labelled and lower unlabelled logits; E gains when either rises."""
    known, unknown = (torch.tensor(values, dtype=torch.float64) for values in (labelled, unlabelled))
    assert sampler_loss(known + rise, unknown) < sampler_loss(known, unknown)
    assert sampler_loss(known, unknown + rise) > sampler_loss(known, unknown)
    assert encoder_loss(known + rise, unknown) < encoder_loss(known, unknown)
    assert encoder_loss(known, unknown + rise) < encoder_loss(known, unknown)


def test_at_zero_and_with_unequal_pools() -> None:
    assert sampler_loss(torch.zeros(2), torch.zeros(9)).item() == pytest.approx(2 * math.log(2))
    known, unknown = torch.tensor(LABELLED), torch.tensor(UNLABELLED)
    for loss in (sampler_loss, encoder_loss):
        assert loss(known, unknown.repeat(10)).item() == pytest.approx(loss(known, unknown).item())
