"""Reconstruction terms of eq. 1 and 5: −log p(x | z, y), nats per image, summed over pixels.

The paper prints a likelihood to be minimised; both functions return the *negative log*-likelihood. Gradient
flows into ``means``, hence into G and, through z, into E; the images are data.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def bernoulli(images: Float[Tensor, "N C H W"], means: Float[Tensor, "N C H W"]) -> Float[Tensor, ""]:
    """For images in [0, 1]: binary cross-entropy, mean over images.

    Args:
        images: x, in [0, 1].
        means: G(z, y), in (0, 1); logarithms are cut at −100.
    """
    # Written out, because PyTorch's own function raises where this one lets NaN through to be noticed.
    log_likelihood = images * means.log().clamp(min=-100) + (1 - images) * (1 - means).log().clamp(min=-100)
    return -log_likelihood.sum() / len(images)


def gaussian(images: Float[Tensor, "N C H W"], means: Float[Tensor, "N C H W"]) -> Float[Tensor, ""]:
    """For images in [-1, 1]: half the squared error (unit variance, constant left out), mean over images."""
    return 0.5 * functional.mse_loss(means, images, reduction="sum") / len(images)
