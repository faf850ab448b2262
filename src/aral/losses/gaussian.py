"""Diagonal Gaussians q(z | x, y) (eq. 1 and 5). The second parameter is always the log-*variance*, log σ²."""

from __future__ import annotations

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

    The caller takes the mean over images. The sum over the batch, as in the authors' code, outweighs the
    reconstruction and makes the posterior collapse.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1)
