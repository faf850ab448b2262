"""The two terms of SCAN (Van Gansbeke et al. 2020), which clusters images without labels.

An image and its neighbour should fall into one cluster, whatever the augmentation of either, and the clusters
should be equally large. The authors add five times the second term to the first; here the learner has the
weights.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import log_softmax


def disagreement(
    cluster_logits: Float[Tensor, "N K"], neighbour_logits: Float[Tensor, "N K"]
) -> Float[Tensor, ""]:
    """−log Σ_k p_k q_k, mean over pairs, nats: 0 when both have probability 1 of the same cluster.

    Computed from logarithms, so it stays finite for two images with probability 1 of different clusters. Gradient
    flows to both.

    Args:
        cluster_logits: of an image.
        neighbour_logits: of its neighbour, in the same order.
    """
    joint = log_softmax(cluster_logits, dim=1) + log_softmax(neighbour_logits, dim=1)
    return -torch.logsumexp(joint, dim=1).mean()


def imbalance(cluster_logits: Float[Tensor, "N K"]) -> Float[Tensor, ""]:
    """log K − H(mean p), nats: 0 when all clusters have an equal share of the batch, log K when one has all."""
    mean = cluster_logits.softmax(dim=1).mean(dim=0)
    return math.log(cluster_logits.shape[1]) - torch.special.entr(mean).sum()
