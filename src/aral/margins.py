"""The margin of a prediction: the largest minus the second largest probability."""

from __future__ import annotations

from math import inf

from jaxtyping import Float
from torch import Tensor, maximum

CONFIDENT_MARGIN = 0.2
"""The smallest margin at which a propagated label counts as confident."""

MIN_CONFIDENT_SHARE = 0.25
"""The smallest share of the pool with a confident propagated label from which the neighbour graph is used."""


def two_highest(values: Float[Tensor, "N K"]) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """The highest and the second highest value of each row, which are equal where two columns are."""
    # Twice the maximum takes half the time of PyTorch's topk.
    first, place = values.max(dim=1)
    return first, values.scatter(1, place[:, None], -inf).amax(dim=1)


def margin_of(class_probs: Float[Tensor, "N K"]) -> Float[Tensor, " N"]:
    """The largest probability minus the second largest one, in [−1, 1].

    The sum of a row may be below 1; one minus the sum is the probability that the image is out of
    distribution, and it takes part as one more class. Where it is the largest, the result is negative: minus
    the margin between it and the most probable class.

    Args:
        class_probs: at least two columns; each row has a sum of at most 1.
    """
    first, second = two_highest(class_probs)
    return first - maximum(second, 1 - class_probs.sum(dim=1))
