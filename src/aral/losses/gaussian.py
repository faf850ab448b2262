"""Diagonal Gaussians: the one place that owns the log-*variance* convention."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sample(
    mean: Float[Tensor, "N Z"], log_variance: Float[Tensor, "N Z"], noise: Float[Tensor, "N Z"]
) -> Float[Tensor, "N Z"]:
    """A draw from N(mean, exp(log_variance)), differentiable in both (Kingma and Welling 2014).

    Args:
        mean: μ.
        log_variance: log σ², not log σ.
        noise: standard normal numbers.
    """
    return mean + torch.exp(0.5 * log_variance) * noise


def divergence_from_standard_normal(
    mean: Float[Tensor, "N Z"], log_variance: Float[Tensor, "N Z"]
) -> Float[Tensor, " N"]:
    """KL(N(μ, σ²) ‖ N(0, I)) of each image in nats, summed over latent dimensions; 0 or more (eq. 1, 5).

    The mean over images is left to the caller: summing over the batch, as the authors' code does, makes the
    divergence drown the reconstruction and the posterior collapse.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1)


def negative_log_density(
    values: Float[Tensor, "N Z"], mean: Float[Tensor, "N Z"], log_variance: Float[Tensor, "N Z"]
) -> Float[Tensor, " N"]:
    """−log N(values; μ, σ²) of each image in nats, summed over dimensions, constant included."""
    deviation = (values - mean).square() * torch.exp(-log_variance)
    return 0.5 * (deviation + log_variance + math.log(2 * math.pi)).sum(dim=1)
