"""Images and their classes, mixed in pairs (mixup; Zhang et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aral.randomness import Stream


@dataclass(frozen=True, eq=False)
class Mixture:
    """Who is mixed with whom.

    Attributes:
        partner: N, for each entry of a batch the place of the one it is mixed with, a permutation.
        kept: N, the entry's own share λ in [0.5, 1]; the rest is its partner's.
    """

    partner: Int64[Tensor, " N"]
    kept: Float[Tensor, " N"]

    @classmethod
    def draw(cls, count: int, concentration: float, stream: Stream) -> Mixture:
        """Partners at random; λ the larger of a draw from Beta(α, α) and what it leaves (MixMatch).

        Args:
            count: N.
            concentration: α > 0; the smaller, the nearer λ is to 1.
            stream: decides all.
        """
        generator = stream.numpy()
        partner = torch.from_numpy(generator.permutation(count).astype(np.int64))
        drawn = torch.from_numpy(generator.beta(concentration, concentration, count).astype(np.float32))
        return cls(partner, torch.maximum(drawn, 1 - drawn))

    def __call__(self, values: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        """λ·own + (1 − λ)·partner's, of images or of class probabilities."""
        kept = self.kept.to(values).reshape(-1, *[1] * (values.ndim - 1))
        return kept * values + (1 - kept) * values[self.partner.to(values.device)]
