"""Diagonal Gaussians: the convention is log *variance*, and the divergence is one number an image."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from aral.losses.gaussian import divergence_from_standard_normal, sample

from .by_hand import DTYPES, check_gradients, near

# Standard deviations 2, 1 and 1, 1/2.
MEAN = [[1.0, 0.0], [-0.5, 2.0]]
LOG_VARIANCE = [[math.log(4.0), 0.0], [0.0, math.log(0.25)]]


@DTYPES
def test_divergence_by_hand(dtype: torch.dtype) -> None:
    first = -math.log(2) + (4 + 1) / 2 - 0.5
    second = (1 + 0.25) / 2 - 0.5 - math.log(0.5) + (0.25 + 4) / 2 - 0.5
    found = divergence_from_standard_normal(
        torch.tensor(MEAN, dtype=dtype), torch.tensor(LOG_VARIANCE, dtype=dtype)
    )
    assert found.dtype == dtype
    assert found.tolist() == [near(first, dtype), near(second, dtype)]


def test_divergence_agrees_with_a_library() -> None:
    mean, log_variance = torch.tensor(MEAN), torch.tensor(LOG_VARIANCE)
    other = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(divergence_from_standard_normal(mean, log_variance), other)


def test_divergence_is_the_mean_log_ratio_of_densities() -> None:
    """KL = E_q[log q − log p]: a grid integral over one dimension ties the two functions together."""
    grid = torch.linspace(-16, 16, 20001, dtype=torch.float64)[:, None]
    mean, log_variance = torch.full_like(grid, 0.7), torch.full_like(grid, math.log(2.3))
    zero = torch.zeros_like(grid)
    log_q = Normal(mean, (0.5 * log_variance).exp()).log_prob(grid).sum(dim=1)
    log_p = Normal(zero, zero.exp()).log_prob(grid).sum(dim=1)
    weight = log_q.exp() * (32 / 20000)
    assert weight.sum().item() == pytest.approx(1.0)
    assert (weight * (log_q - log_p)).sum().item() == pytest.approx(
        divergence_from_standard_normal(mean[:1], log_variance[:1]).item()
    )


@settings(deadline=None)
@given(
    mean=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    log_variance=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
)
def test_divergence_is_never_negative(mean: list[float], log_variance: list[float]) -> None:
    value = divergence_from_standard_normal(
        torch.tensor([mean], dtype=torch.float64), torch.tensor([log_variance], dtype=torch.float64)
    )
    assert value.item() >= -1e-12


def test_divergence_is_zero_at_the_prior_only() -> None:
    zero = torch.zeros(2, 3)
    assert divergence_from_standard_normal(zero, zero).tolist() == [0.0, 0.0]
    assert (divergence_from_standard_normal(zero + 0.1, zero) > 0).all()
    assert (divergence_from_standard_normal(zero, zero + 0.1) > 0).all()


def test_mean_divergence_does_not_grow_with_the_batch() -> None:
    """The released code summed over the batch, so that the divergence drowned the reconstruction."""
    mean, log_variance = torch.tensor(MEAN), torch.tensor(LOG_VARIANCE)
    once = divergence_from_standard_normal(mean, log_variance)
    many = divergence_from_standard_normal(mean.repeat(50, 1), log_variance.repeat(50, 1))
    assert many.shape == (100,)
    assert many.mean().item() == pytest.approx(once.mean().item(), rel=1e-6)


def test_divergence_grows_with_latent_dimensions() -> None:
    one = divergence_from_standard_normal(torch.full((2, 1), 0.5), torch.full((2, 1), 0.3))
    five = divergence_from_standard_normal(torch.full((2, 5), 0.5), torch.full((2, 5), 0.3))
    torch.testing.assert_close(five, 5 * one)


@DTYPES
def test_sample_by_hand(dtype: torch.dtype) -> None:
    """Standard deviation 2 where the log-variance is log 4."""
    noise = torch.tensor([[1.0, -1.0], [0.5, 2.0]], dtype=dtype)
    found = sample(torch.tensor(MEAN, dtype=dtype), torch.tensor(LOG_VARIANCE, dtype=dtype), noise)
    torch.testing.assert_close(
        found, torch.tensor([[1 + 2.0, 0 - 1.0], [-0.5 + 0.5, 2 + 0.5 * 2]], dtype=dtype)
    )


def test_gradients_agree_with_central_differences() -> None:
    mean, log_variance = (torch.tensor(values, dtype=torch.float64) for values in (MEAN, LOG_VARIANCE))
    noise = torch.tensor([[1.0, -1.3], [0.5, 2.0]], dtype=torch.float64)
    weights = torch.tensor([1.0, -2.0], dtype=torch.float64)
    check_gradients(lambda *q: (divergence_from_standard_normal(*q) * weights).sum(), mean, log_variance)
    check_gradients(lambda *q: (sample(*q).sin() * weights).sum(), mean, log_variance, noise)


def test_gradient_of_the_divergence_by_hand() -> None:
    mean = torch.tensor(MEAN, dtype=torch.float64, requires_grad=True)
    log_variance = torch.tensor(LOG_VARIANCE, dtype=torch.float64, requires_grad=True)
    divergence_from_standard_normal(mean, log_variance).sum().backward()
    assert mean.grad is not None and log_variance.grad is not None
    torch.testing.assert_close(mean.grad, mean.detach())
    torch.testing.assert_close(
        log_variance.grad, torch.tensor([[(4 - 1) / 2, 0.0], [0.0, (0.25 - 1) / 2]], dtype=torch.float64)
    )
