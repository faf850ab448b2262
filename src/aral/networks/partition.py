"""P: groups of images that look alike, named by nobody, and codes that tell images apart; on the features of D̃."""

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
        code_size: of the codes; 0 if there are none.
    """

    def __init__(self, feature_size: int, group_counts: tuple[int, ...], code_size: int = 0) -> None:
        super().__init__()
        self.group_counts = group_counts
        self.layer = nn.Linear(feature_size, sum(group_counts))
        self.projection = (
            nn.Sequential(
                nn.Linear(feature_size, feature_size), nn.ReLU(), nn.Linear(feature_size, code_size)
            )
            if code_size
            else None
        )

    def forward(self, features: Float[Tensor, "N F"]) -> tuple[Float[Tensor, "N _"], ...]:
        """Logits of the groups, one tensor N×groups a head, float32."""
        ends = list(accumulate(self.group_counts))[:-1]
        return tuple(torch.tensor_split(self.layer(features).float(), ends, dim=1))

    def codes(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N C"]:
        """What images are told apart by, behind a layer of its own (Chen et al. 2020), float32.

        Raises:
            ValueError: this P has no codes.
        """
        if self.projection is None:
            raise ValueError("this partition was made without codes")
        found: Tensor = self.projection(features).float()
        return found
