"""How far ahead the likeliest class is."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

SURE = 0.2
"""The lead from which an opinion is sure; the default of ``model.spreading.margin``."""

HEARD = 0.25
"""The share of the pool of which a graph must be sure to be heard; the default of ``model.spreading.heard``."""


def margin_of(class_probs: Float[Tensor, "N K"]) -> Float[Tensor, " N"]:
    """By how much the likeliest class of an image is ahead of the second and of none at all, in [−1, 1].

    A row may have a sum below 1; the rest is the chance that the image is of none of the classes. Where that is
    the greatest, the result is negative: by how much none is ahead of the likeliest class.

    Args:
        class_probs: rows of at least two classes, each with a sum of at most 1.
    """
    first, second = class_probs.topk(2, dim=1).values.unbind(dim=1)
    return first - torch.maximum(second, 1 - class_probs.sum(dim=1))
