"""What the first labels say of groups that were found without any: C begins as the groups' head, renamed."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn.utils import parametrize

from aral.networks.cluster_heads import ClusterHeads
from aral.networks.parts import TrunkDiscriminator

UNSEEN = 3.0
"""How much lower, in nats, the logit of a class without a group starts than that of the others on average."""

_NEXT_TO_NOTHING = 1e-6


@torch.no_grad()
def name_groups(
    classifier: nn.Module,
    partition: nn.Module,
    groups: Int64[Tensor, " N"],
    classes: Int64[Tensor, " N"],
) -> None:
    """Give each class the weights of the groups its labelled images fall into.

    The weights of a class are the mean of those groups' weights in P's first head, by how many of its images
    are in each; a class without labels starts without weights, and less likely than the others.

    Args:
        classifier: D̃ with C; C is changed in place, its trunk is not.
        partition: P.
        groups: the group of each labelled image in the first head.
        classes: its class.
    """
    layer = cast(nn.Linear, cast(TrunkDiscriminator, classifier).class_layer)
    head = cast(ClusterHeads, partition)
    count = head.cluster_counts[0]
    shares = torch.zeros(layer.out_features, count, device=layer.weight.device)
    shares.index_put_((classes, groups), torch.ones(len(groups), device=shares.device), accumulate=True)
    seen = shares.sum(dim=1) > 0
    shares /= shares.sum(dim=1, keepdim=True).clamp(min=1)
    weight = shares @ head.layer.weight[:count]
    bias = shares @ head.layer.bias[:count]
    bias[~seen] = bias[seen].mean() - UNSEEN
    if parametrize.is_parametrized(layer):
        weight[~seen] = _NEXT_TO_NOTHING * layer.weight[~seen]  # weight norm needs a direction
        layer.weight = weight  # taken apart by the parametrisation
    else:
        layer.weight.copy_(weight)
    layer.bias.copy_(bias)
