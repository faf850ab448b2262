"""Feature matching (Salimans et al. 2016): generated images should have the mean features of unlabelled images.

Named in section 4.1 of the paper, in none of its equations. Minimised by G, with D frozen; no gradient should flow
into the features of real images.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def squared_distance(
    unlabelled_features: Float[Tensor, "U F"], generated_features: Float[Tensor, "G F"]
) -> Float[Tensor, ""]:
    """Squared Euclidean distance of the two batch means, summed over features (fully connected nets)."""
    return (unlabelled_features.mean(dim=0) - generated_features.mean(dim=0)).square().sum()


def absolute_distance(
    unlabelled_features: Float[Tensor, "U F"], generated_features: Float[Tensor, "G F"]
) -> Float[Tensor, ""]:
    """Mean absolute difference of the two batch means over the F features (convolutional nets)."""
    return (unlabelled_features.mean(dim=0) - generated_features.mean(dim=0)).abs().mean()
