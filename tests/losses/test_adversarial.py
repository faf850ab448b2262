"""Eq. 7, 8 and 10 against hand arithmetic, and the sign of eq. 10."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.losses.adversarial import discriminator_loss, encoder_loss, generator_loss

from .by_hand import DTYPES, check_gradients, gradients, mean, near, softplus

LABELLED = [1.5, -0.5]
UNLABELLED = [0.3, -2.0, 4.0]
GENERATED = [-1.0, 2.5]
SHARE = 0.25


@DTYPES
def test_discriminator_loss_by_hand(dtype: torch.dtype) -> None:
    real = 0.25 * mean([softplus(-1.5), softplus(0.5)])
    real += 0.75 * mean([softplus(-0.3), softplus(2.0), softplus(-4.0)])
    generated = mean([softplus(-1.0), softplus(2.5)])
    found = discriminator_loss(
        torch.tensor(LABELLED, dtype=dtype),
        torch.tensor(UNLABELLED, dtype=dtype),
        torch.tensor(GENERATED, dtype=dtype),
        labelled_share=SHARE,
    )
    assert found.dtype == dtype
    assert found.item() == near(real + generated, dtype)


@DTYPES
def test_generator_loss_by_hand(dtype: torch.dtype) -> None:
    found = generator_loss(torch.tensor(GENERATED, dtype=dtype))
    assert found.item() == near((softplus(1.0) + softplus(-2.5)) / 2, dtype)


@DTYPES
def test_encoder_loss_by_hand(dtype: torch.dtype) -> None:
    labelled, unlabelled = torch.tensor(LABELLED, dtype=dtype), torch.tensor(UNLABELLED, dtype=dtype)
    opposing = 0.25 * mean([softplus(1.5), softplus(-0.5)])
    opposing += 0.75 * mean([softplus(0.3), softplus(-2.0), softplus(4.0)])
    assert encoder_loss(labelled, unlabelled, SHARE).item() == near(opposing, dtype)


def test_gradients_agree_with_central_differences() -> None:
    labelled, unlabelled, generated = (
        torch.tensor(values, dtype=torch.float64) for values in (LABELLED, UNLABELLED, GENERATED)
    )
    check_gradients(lambda *logits: discriminator_loss(*logits, SHARE), labelled, unlabelled, generated)
    check_gradients(generator_loss, generated)
    check_gradients(lambda *logits: encoder_loss(*logits, SHARE), labelled, unlabelled)


def test_generator_is_pulled_hardest_where_it_fails() -> None:
    """Non-saturating: the slope is −σ(−D)/N, largest where D is sure of a fake; eq. 7 as printed goes flat."""
    (slope,) = gradients(generator_loss, torch.tensor([-8.0, 0.0, 8.0], dtype=torch.float64))
    assert slope.tolist() == pytest.approx([-1 / (1 + math.exp(d)) / 3 for d in (-8.0, 0.0, 8.0)])
    assert slope[0] < slope[1] < slope[2] < 0


@settings(deadline=None)
@given(
    logits=st.lists(st.floats(-20, 20), min_size=2, max_size=6),
    fall=st.floats(0.01, 5),
    share=st.floats(0.1, 0.9),
)
def test_encoder_gains_when_real_triples_look_less_real(
    logits: list[float], fall: float, share: float
) -> None:
    """Eq. 10's sign: E's loss falls with D on real triples, D's loss rises."""
    real = torch.tensor(logits, dtype=torch.float64)
    lower, fakes = real - fall, torch.zeros(2, dtype=torch.float64)
    assert encoder_loss(lower, lower, share) < encoder_loss(real, real, share)
    assert discriminator_loss(lower, lower, fakes, share) > discriminator_loss(real, real, fakes, share)


def test_both_pools_move_the_encoder_the_same_way() -> None:
    real = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    for slope in gradients(lambda *logits: encoder_loss(*logits, 0.5), real, real):
        assert (slope > 0).all()


def test_real_side_weighs_as_much_as_the_generated_side() -> None:
    """The print counted the real side twice: at D = 0 that would be 3 or 4 log 2, not 2 log 2."""
    for share in (0.0, 0.2, 1.0):
        value = discriminator_loss(torch.zeros(2), torch.zeros(7), torch.zeros(3), share).item()
        assert value == pytest.approx(2 * math.log(2))


def test_discriminator_loss_has_a_lower_bound() -> None:
    certain = torch.tensor([1e4, 2e4])
    value = discriminator_loss(certain, certain, -certain, 0.5)
    assert 0 <= value.item() < 1e-6


def test_share_counts_pools_not_images() -> None:
    """Ten copies of the unlabelled images change nothing, share 1 hides them, share 0 hides the others."""
    labelled, unlabelled = torch.tensor([1.0, 3.0]), torch.tensor([-2.0, 0.5])
    assert encoder_loss(labelled, unlabelled.repeat(10), 0.3).item() == pytest.approx(
        encoder_loss(labelled, unlabelled, 0.3).item()
    )
    assert encoder_loss(labelled, unlabelled, 1.0) == encoder_loss(labelled, -unlabelled, 1.0)
    assert encoder_loss(labelled, unlabelled, 0.0) == encoder_loss(-labelled, unlabelled, 0.0)
    assert encoder_loss(labelled, unlabelled, 1.0) != encoder_loss(labelled, unlabelled, 0.0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_pool_without_a_share_may_be_empty(share: float) -> None:
    """The mean of nothing is NaN, and 0·NaN would be so too."""
    full, empty, fakes = torch.tensor([1.0, -2.0]), torch.empty(0), torch.tensor([0.5])
    pools = (full, empty) if share == 1.0 else (empty, full)
    real = (softplus(-1.0) + softplus(2.0)) / 2
    assert discriminator_loss(*pools, fakes, share).item() == near(real + softplus(0.5), torch.float32)
    assert encoder_loss(*pools, share).item() == near((softplus(1.0) + softplus(-2.0)) / 2, torch.float32)
