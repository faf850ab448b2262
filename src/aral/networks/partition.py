"""P: groups of images that look alike, named by nobody; heads on the features of D̃."""

from __future__ import annotations

from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Partition(nn.Module):
    """One linear head on D̃'s features for each count of groups.

    All heads are one layer, whose outputs are cut apart.

    Args:
        feature_size: F.
        group_counts: groups of each head, at least one head.
    """

    def __init__(self, feature_size: int, group_counts: tuple[int, ...]) -> None:
        super().__init__()
        self.group_counts = group_counts
        self.layer = nn.Linear(feature_size, sum(group_counts))

    def forward(self, features: Float[Tensor, "N F"]) -> tuple[Float[Tensor, "N _"], ...]:
        """Logits of the groups, one tensor N×groups a head, float32."""
        ends = list(accumulate(self.group_counts))[:-1]
        return tuple(torch.tensor_split(self.layer(features).float(), ends, dim=1))
