"""The margin of a prediction: the largest minus the second largest probability."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, maximum

CONFIDENT_MARGIN = 0.2
"""The smallest margin at which a propagated label counts as confident."""

MIN_CONFIDENT_SHARE = 0.25
"""The smallest share of the pool with a confident propagated label from which the neighbour graph is used."""


def margin_of(class_probs: Float[Tensor, "N K"]) -> Float[Tensor, " N"]:
    """The largest probability minus the second largest one, in [−1, 1].

    The sum of a row may be below 1; one minus the sum is the probability that the image is out of
    distribution, and it takes part as one more class. Where it is the largest, the result is negative: minus
    the margin between it and the most probable class.

    Args:
        class_probs: at least two columns; each row has a sum of at most 1.
    """
    first, second = class_probs.topk(2, dim=1).values.unbind(dim=1)
    return first - maximum(second, 1 - class_probs.sum(dim=1))
