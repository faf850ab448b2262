"""What a classifier says of images, where nobody learns from being asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softmax

from aral.networks.interface import Discriminator

Classify: TypeAlias = Callable[[Float[Tensor, "n C H W"]], Float[Tensor, "n K"]]
"""Gives class logits of images."""


def opinion(classify: Classify, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n K"]:
    """Class probabilities, without gradient."""
    with torch.no_grad():
        return softmax(classify(images), dim=1)


def in_evaluation(classifier: Discriminator) -> Classify:
    """The classifier without noise or dropout, by the statistics it has; afterwards it is in the mode it was in."""

    def classify(images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n K"]:
        training = classifier.training
        classifier.eval()
        logits: Float[Tensor, "n K"] = classifier(images)
        classifier.train(training)
        return logits

    return classify
