"""Labels that the classifier gives itself: which are sure enough to train on, and what they cost.

Pseudo-labels: Lee 2013; in active learning CEAL (Wang et al. 2017), by the entropy of the prediction.
Consistency: FixMatch (Sohn et al. 2020), by the highest probability; Siméoni et al. 2021 put such training
on the unlabelled pool under active learning. Without a threshold: MixMatch (Berthelot et al. 2019), by sharpened
predictions. Distribution alignment: ReMixMatch (Berthelot et al. 2020).
No gradient is meant to flow through any of the labels.
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


def leading(class_probs: Float[Tensor, "N K"], margin: float) -> Bool[Tensor, " N"]:
    """Images whose likeliest class leads the second, and none at all, by at least ``margin``, in [0, 1]."""
    return margin_of(class_probs) >= margin


def out_of_distribution(class_probs: Float[Tensor, "N K"], margin: float) -> Bool[Tensor, " N"]:
    """Images likelier of no class than of any, by at least ``margin`` > 0 (:func:`aral.margins.margin_of`)."""
    return margin_of(class_probs) <= -margin


def at_one(one: Float[Tensor, "N K"], other: Float[Tensor, "N K"]) -> Bool[Tensor, " N"]:
    """Images of which two opinions have the same likeliest class, however sure either is."""
    return one.argmax(dim=1) == other.argmax(dim=1)


def hardened(class_probs: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
    """One-hot rows of the most probable class; the first of equals."""
    return one_hot(class_probs.argmax(dim=1), class_probs.shape[1]).to(class_probs.dtype)


def sharpened(class_probs: Float[Tensor, "N K"], temperature: float) -> Float[Tensor, "N K"]:
    """p^(1/T), rows to one: below 1 the likely become likelier, at 1 all stays (MixMatch)."""
    raised = class_probs ** (1 / temperature)
    return raised / raised.sum(dim=1, keepdim=True)


def aligned(class_probs: Float[Tensor, "N K"], prior: Float[Tensor, " K"]) -> Float[Tensor, "N K"]:
    """The predictions, reweighted so that their mean comes nearer to ``prior``: p·prior/mean(p), rows to one.

    The mean is the batch's own, where ReMixMatch keeps a running one: nothing has to be remembered.

    Args:
        class_probs: predictions of one batch.
        prior: expected share of each class, summing to one.
    """
    ratio = prior / class_probs.mean(dim=0).clamp(min=1e-6)
    weighted = class_probs * ratio
    return weighted / weighted.sum(dim=1, keepdim=True)


def cross_entropy_where(
    class_logits: Float[Tensor, "N K"], class_probs: Float[Tensor, "N K"], used: Bool[Tensor, " N"]
) -> Float[Tensor, ""]:
    """−Σ_k y_k log softmax(C)_k of the images in ``used``, divided by *all* N images, nats.

    So the term grows with the share of images that are sure enough, and is 0 when there is none.
    """
    each = -(class_probs * log_softmax(class_logits, dim=1)).sum(dim=1)
    return (each * used).sum() / len(each)
