"""Feature matching (Salimans et al. 2016): generated images should have the mean features of unlabelled images.

Named in section 4.1 of the paper, in none of its equations. Minimised by G, with D frozen; no gradient should flow
into the features of real images. Where several processes train together, the means are over the images of all.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from aral.parallel import batch_mean


def squared_distance(
    unlabelled_features: Float[Tensor, "U F"], generated_features: Float[Tensor, "G F"]
) -> Float[Tensor, ""]:
    """Squared Euclidean distance of the two batch means, summed over features (fully connected nets)."""
    return (batch_mean(unlabelled_features) - batch_mean(generated_features)).square().sum()


def absolute_distance(
    unlabelled_features: Float[Tensor, "U F"], generated_features: Float[Tensor, "G F"]
) -> Float[Tensor, ""]:
    """Mean absolute difference of the two batch means over the F features (convolutional nets)."""
    return (batch_mean(unlabelled_features) - batch_mean(generated_features)).abs().mean()
