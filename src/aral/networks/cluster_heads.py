"""Heads on D̃'s features that cluster the pool without labels (SCAN; Van Gansbeke et al. 2020)."""

from __future__ import annotations

from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ClusterHeads(nn.Module):
    """Several linear classifiers of clusters, with different numbers of clusters.

    They are one layer whose outputs are split.

    Args:
        feature_size: F.
        cluster_counts: number of clusters of each head, at least one head.
        code_size: length of the codes for contrastive learning; 0: no codes.
    """

    def __init__(self, feature_size: int, cluster_counts: tuple[int, ...], code_size: int = 0) -> None:
        super().__init__()
        self.cluster_counts = cluster_counts
        self.layer = nn.Linear(feature_size, sum(cluster_counts))
        self.projection = (
            nn.Sequential(
                nn.Linear(feature_size, feature_size), nn.ReLU(), nn.Linear(feature_size, code_size)
            )
            if code_size
            else None
        )

    def forward(self, features: Float[Tensor, "N F"]) -> tuple[Float[Tensor, "N _"], ...]:
        """Logits of the clusters, one tensor N×clusters a head, float32."""
        ends = list(accumulate(self.cluster_counts))[:-1]
        return tuple(torch.tensor_split(self.layer(features).float(), ends, dim=1))

    def codes(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N C"]:
        """The outputs of a projection head (Chen et al. 2020), float32.

        Raises:
            ValueError: there is none.
        """
        if self.projection is None:
            raise ValueError("these cluster heads were made without codes")
        found: Tensor = self.projection(features).float()
        return found
