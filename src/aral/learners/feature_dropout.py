"""Predicted classes under dropout on the features that a classifier reads, for DropQuery."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aral.randomness import Stream

PASSES = 3
RATE = 0.75
"""Number of passes and share of the features that is dropped, as in Gupte et al. (2024)."""


def dropped_classes(
    classify: Callable[[Float[Tensor, "N C H W"]], Float[Tensor, "N K"]],
    features: Float[Tensor, "N C H W"],
    stream: Stream,
    passes: int = PASSES,
    rate: float = RATE,
) -> Int64[Tensor, "N M"]:
    """The most probable class of each image in each of M passes; in a pass some features are set to 0.

    One mask a pass for all images, a function of the stream and the pass, so that batches and copies of an image agree.
    What remains is divided by 1 − rate. No gradient.

    Args:
        classify: logits.
        features: as the classifier reads them.
        stream: decides the masks.
        passes: M.
        rate: probability that a feature is dropped, in [0, 1).
    """
    found = []
    with torch.no_grad():
        for number in range(passes):
            draws = torch.rand(features.shape[1:], generator=stream.child(number).torch())
            mask = (draws >= rate).to(features) / (1 - rate)
            found.append(classify(features * mask).argmax(dim=1))
    return torch.stack(found, dim=1)
