"""Which images change their class when their features are mixed with those of labelled images, for ALFA-Mix.

From Parvaneh, Abbasnejad, Teney, Haffari, van den Hengel & Shi 2022, "Active Learning by Feature Mixing". An anchor
z* is the mean feature vector of the labelled images of a class. The features z of an image are mixed with it,

    z̃ = α ⊙ z* + (1 − α) ⊙ z,    α = (ε ‖z* − z‖ / ‖∇‖) ∇ ⊘ (z* − z),    ‖α ⊙ (z* − z)‖ = ε ‖z* − z‖    (eqs. 1 and 5)

where ∇ is the gradient, with respect to z, of the cross-entropy of the class that is predicted for z: of all α of this
magnitude the one that increases the cross-entropy most, to first order. ε = 0.2/√F. The authors' code raises it in
steps of 0.2/√F up to 1/√F while too few images change their class, so all of these are computed here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy

MAGNITUDES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""ε·√F, ascending."""


def class_anchors(features: Float[Tensor, "L F"], classes: Int64[np.ndarray, " L"]) -> Float[Tensor, "A F"]:
    """The mean features of each class that has a labelled image, in order of class; float32."""
    rows = [torch.from_numpy(np.flatnonzero(classes == present)) for present in np.unique(classes)]
    return torch.stack([features[of_class].float().mean(dim=0) for of_class in rows])


def mixing_changes(
    classify: Callable[[Float[Tensor, "N F"]], Float[Tensor, "N K"]],
    features: Float[Tensor, "N F"],
    anchors: Float[Tensor, "A F"],
    magnitudes: tuple[float, ...] = MAGNITUDES,
) -> Int64[Tensor, "N E"]:
    """With how many anchors the most probable class changes, at each of E magnitudes of mixing: 0..A.

    With the α above, α ⊙ (z* − z) is a vector of length ε ‖z* − z‖ along ∇, so nothing is divided by z* − z, which
    may be 0 in places. Where ∇ is 0 the class does not change. The result carries no gradient. Cost: A·E + 1
    evaluations of ``classify``.

    Args:
        classify: logits.
        features: z, what ``classify`` reads.
        anchors: z* of each class with labels.
        magnitudes: ε·√F, each above 0.
    """
    with torch.enable_grad():
        points = features.detach().float().requires_grad_()
        logits = classify(points)
        plain = logits.detach().argmax(dim=1)
        (gradient,) = torch.autograd.grad(cross_entropy(logits, plain, reduction="sum"), points)
    points = points.detach()
    length = gradient.norm(dim=1, keepdim=True)
    direction = torch.where(length > 0, gradient / length, torch.zeros_like(gradient))
    changes = torch.zeros(len(points), len(magnitudes), dtype=torch.int64, device=points.device)
    with torch.no_grad():
        for anchor in anchors.to(points):
            distance = (anchor - points).norm(dim=1, keepdim=True)
            for column, magnitude in enumerate(magnitudes):
                step = magnitude / points.shape[1] ** 0.5 * distance
                changes[:, column] += classify(points + step * direction).argmax(dim=1) != plain
    return changes
