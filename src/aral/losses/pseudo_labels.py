"""Pseudo-labels: which predictions are confident enough to be trained on, how they are changed, and their loss.

By the entropy of the prediction: Lee 2013; in active learning CEAL (Wang et al. 2017). By the highest probability:
FixMatch (Sohn et al. 2020); with active learning Siméoni et al. 2021. By the margin of a propagated label: this
package. Sharpening without a threshold: MixMatch (Berthelot et al. 2019). Distribution alignment: ReMixMatch
(Berthelot et al. 2020). No gradient should flow through any of the labels; the caller detaches them.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from aral.margins import margin_of


def certain(class_probs: Float[Tensor, "N K"], entropy: float) -> Bool[Tensor, " N"]:
    """Images whose prediction has an entropy below ``entropy`` nats (CEAL)."""
    return torch.special.entr(class_probs).sum(dim=1) < entropy


def confident(class_probs: Float[Tensor, "N K"], confidence: float) -> Bool[Tensor, " N"]:
    """Images whose highest probability is at least ``confidence``, in [0, 1] (FixMatch)."""
    return class_probs.amax(dim=1) >= confidence


def confident_by_margin(class_probs: Float[Tensor, "N K"], margin: float) -> Bool[Tensor, " N"]:
    """Images whose :func:`aral.margins.margin_of` is at least ``margin``, in [0, 1]."""
    return margin_of(class_probs) >= margin


def out_of_distribution(class_probs: Float[Tensor, "N K"], margin: float) -> Bool[Tensor, " N"]:
    """Images whose :func:`aral.margins.margin_of` is at most minus ``margin``, above 0."""
    return margin_of(class_probs) <= -margin


def agree(one: Float[Tensor, "N K"], other: Float[Tensor, "N K"]) -> Bool[Tensor, " N"]:
    """Images for which two predictions have the same most probable class, whatever its probability."""
    return one.argmax(dim=1) == other.argmax(dim=1)


def hardened(class_probs: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
    """One-hot rows of the most probable class; of equal ones the first."""
    return one_hot(class_probs.argmax(dim=1), class_probs.shape[1]).to(class_probs.dtype)


def sharpened(class_probs: Float[Tensor, "N K"], temperature: float) -> Float[Tensor, "N K"]:
    """p^(1/T), rows divided by their sums (MixMatch): T < 1 raises high probabilities, T = 1 changes nothing."""
    raised = class_probs ** (1 / temperature)
    return raised / raised.sum(dim=1, keepdim=True)


def aligned(class_probs: Float[Tensor, "N K"], prior: Float[Tensor, " K"]) -> Float[Tensor, "N K"]:
    """p·prior/mean(p), rows divided by their sums, so that the mean prediction comes closer to ``prior``.

    The mean is that of the batch; ReMixMatch keeps a running one.

    Args:
        class_probs: predictions of one batch.
        prior: expected share of each class, with a sum of 1.
    """
    ratio = prior / class_probs.mean(dim=0).clamp(min=1e-6)
    weighted = class_probs * ratio
    return weighted / weighted.sum(dim=1, keepdim=True)


def cross_entropy_where(
    class_logits: Float[Tensor, "N K"], class_probs: Float[Tensor, "N K"], used: Bool[Tensor, " N"]
) -> Float[Tensor, ""]:
    """−Σ_k y_k log softmax(C)_k summed over the images in ``used``, divided by the number N of *all* images, nats.

    So the term grows with the share of images that are used; it is 0 when none is.
    """
    each = -(class_probs * log_softmax(class_logits, dim=1)).sum(dim=1)
    return (each * used).sum() / len(each)
