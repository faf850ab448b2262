"""Reconstruction: a negative log-likelihood that falls as the likelihood rises, with gradient into the means."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal

from aral.losses.reconstruction import bernoulli, gaussian

from .by_hand import DTYPES, check_gradients, gradients, near

# Two images of one channel, 1×2 pixels.
GREY = [[[[0.0, 0.25]]], [[[1.0, 0.6]]]]
MEANS = [[[[0.1, 0.5]]], [[[0.8, 0.3]]]]
SIGNED = [[[[-1.0, 0.5]]], [[[1.0, 0.0]]]]
SIGNED_MEANS = [[[[-0.5, 0.5]]], [[[-1.0, 0.25]]]]


@DTYPES
def test_bernoulli_by_hand(dtype: torch.dtype) -> None:
    first = -math.log(0.9) - 0.25 * math.log(0.5) - 0.75 * math.log(0.5)
    second = -math.log(0.8) - 0.6 * math.log(0.3) - 0.4 * math.log(0.7)
    found = bernoulli(torch.tensor(GREY, dtype=dtype), torch.tensor(MEANS, dtype=dtype))
    assert found.dtype == dtype
    assert found.item() == near((first + second) / 2, dtype)


@DTYPES
def test_gaussian_by_hand(dtype: torch.dtype) -> None:
    first = 0.5 * ((-1.0 + 0.5) ** 2 + 0.0)
    second = 0.5 * ((1.0 + 1.0) ** 2 + 0.25**2)
    found = gaussian(torch.tensor(SIGNED, dtype=dtype), torch.tensor(SIGNED_MEANS, dtype=dtype))
    assert found.dtype == dtype
    assert found.item() == near((first + second) / 2, dtype)


def test_gradients_flow_into_the_means() -> None:
    """The released code detached this term; by hand (m − x) / (m (1 − m)) and m − x, over 2 images."""
    grey, means = torch.tensor(GREY, dtype=torch.float64), torch.tensor(MEANS, dtype=torch.float64)
    (slope,) = gradients(lambda m: bernoulli(grey, m), means)
    by_hand = [(0.1 - 0) / 0.09 / 2, (0.5 - 0.25) / 0.25 / 2, (0.8 - 1) / 0.16 / 2, (0.3 - 0.6) / 0.21 / 2]
    assert slope.flatten().tolist() == pytest.approx(by_hand)
    check_gradients(lambda m: bernoulli(grey, m), means)
    signed, signed_means = (torch.tensor(v, dtype=torch.float64) for v in (SIGNED, SIGNED_MEANS))
    (slope,) = gradients(lambda m: gaussian(signed, m), signed_means)
    assert slope.flatten().tolist() == pytest.approx([0.25, 0.0, -1.0, 0.125])
    check_gradients(gaussian, signed, signed_means)


def test_higher_likelihood_means_lower_loss() -> None:
    """Likelihoods by another library; the print asked to minimise the likelihood itself."""
    grey, signed = torch.tensor(GREY).round(), torch.tensor(SIGNED)
    likelihoods, losses = [], []
    for closeness in (0.2, 0.5, 0.8):
        means = 0.5 + closeness * (grey - 0.5)
        likelihoods.append(Bernoulli(means).log_prob(grey).sum().item())
        losses.append(bernoulli(grey, means).item())
    assert likelihoods == sorted(likelihoods) and losses == sorted(losses, reverse=True)
    assert losses == pytest.approx([-value / 2 for value in likelihoods])
    likelihoods, losses = [], []
    for closeness in (0.2, 0.5, 0.8):
        likelihoods.append(Normal(closeness * signed, 1.0).log_prob(signed).sum().item())
        losses.append(gaussian(signed, closeness * signed).item())
    assert likelihoods == sorted(likelihoods) and losses == sorted(losses, reverse=True)
    constant = 2 * 0.5 * math.log(2 * math.pi)  # two pixels an image
    assert losses == pytest.approx([-value / 2 - constant for value in likelihoods])


@pytest.mark.parametrize("loss", [bernoulli, gaussian])
def test_sum_over_pixels_and_mean_over_images(loss: object) -> None:
    assert callable(loss)
    grey, means = torch.tensor(GREY), torch.tensor(MEANS)
    value = loss(grey, means).item()
    assert loss(grey.repeat(7, 1, 1, 1), means.repeat(7, 1, 1, 1)).item() == pytest.approx(value)
    assert loss(grey.repeat(1, 3, 2, 1), means.repeat(1, 3, 2, 1)).item() == pytest.approx(6 * value)


def test_certain_and_wrong_pixels_stay_finite() -> None:
    """Logarithms are cut at −100."""
    value = bernoulli(torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 1, 1))
    assert value.item() == pytest.approx(100.0)


def test_saturated_means_have_finite_slopes() -> None:
    """A float32 sigmoid is exactly 1 from a logit of 17 on: right or wrong, one pixel must not spoil a step."""
    logits = torch.tensor([[[[18.0, -2.0, -200.0]]], [[[20.0, 1.0, -105.0]]]], requires_grad=True)
    images = torch.tensor([[[[1.0, 0.0, 0.0]]], [[[0.0, 1.0, 1.0]]]])
    loss = bernoulli(images, logits.sigmoid())
    (slope,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(slope).all()
    # σ − x over 2 images where the sigmoid is not saturated.
    assert slope[0, 0, 0, 1].item() == pytest.approx(1 / (1 + math.exp(2)) / 2)
    assert slope[1, 0, 0, 1].item() == pytest.approx((1 / (1 + math.exp(-1)) - 1) / 2)


@pytest.mark.parametrize("loss", [bernoulli, gaussian])
def test_a_mean_that_is_no_number_is_noticed(loss: object) -> None:
    """A training step skips what is not finite; it has to get to see it, not an exception."""
    assert callable(loss)
    assert loss(torch.tensor(GREY), torch.tensor(MEANS) * torch.tensor([1.0, float("nan")])).isnan()
