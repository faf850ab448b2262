"""Reconstruction terms of eq. 1 and 5: −log p(x | z, y), nats per image, summed over pixels.

The paper prints a likelihood to be minimised; both functions return the *negative log*-likelihood. Gradient
flows into ``means``, so into G and, through z, into E.
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
    # PyTorch's function raises an error at NaN, but the training step must receive the NaN: it is added back
    # below. Logarithms of our own would have NaN gradients where a mean is exactly 0 or 1.
    summed = functional.binary_cross_entropy(means.nan_to_num(nan=0.5), images, reduction="sum")
    return (summed + 0 * means.sum()) / len(images)


def gaussian(images: Float[Tensor, "N C H W"], means: Float[Tensor, "N C H W"]) -> Float[Tensor, ""]:
    """For images in [-1, 1]: half the squared error (unit variance, constant left out), mean over images."""
    return 0.5 * functional.mse_loss(means, images, reduction="sum") / len(images)
