"""What a partition of the pool into groups costs: neighbours disagreeing, and groups left empty.

SCAN (Van Gansbeke et al. 2020): an image and its nearest neighbour should fall into the same group, whatever
is done to both by augmentation, while the groups share the pool. No label is needed. The authors weigh the
second part by 5 and sum the two; here they are two terms, and the weights belong to the learner.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import log_softmax


def disagreement(
    group_logits: Float[Tensor, "N K"], neighbour_logits: Float[Tensor, "N K"]
) -> Float[Tensor, ""]:
    """−log Σ_k p_k q_k, mean over pairs, nats: 0 when both are sure of the same group.

    Worked in logarithms, so that two images that are sure of different groups cost much but not infinitely
    much. Gradient flows to both.

    Args:
        group_logits: an image's logits of the groups.
        neighbour_logits: its neighbour's, in the same order.
    """
    joint = log_softmax(group_logits, dim=1) + log_softmax(neighbour_logits, dim=1)
    return -torch.logsumexp(joint, dim=1).mean()


def imbalance(group_logits: Float[Tensor, "N K"]) -> Float[Tensor, ""]:
    """log K − H(mean p), nats: 0 when the groups share the batch equally, log K when one has it all."""
    mean = group_logits.softmax(dim=1).mean(dim=0)
    return math.log(group_logits.shape[1]) - torch.special.entr(mean).sum()
