"""mixup (Zhang et al. 2018): convex combinations of pairs of images and of their class probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aral.randomness import Stream


@dataclass(frozen=True, eq=False)
class Mixture:
    """The pairs of a batch and their mixup coefficients.

    Attributes:
        partner: N, for each entry of a batch the index of the one it is mixed with, a permutation.
        kept: N, the coefficient λ in [0.5, 1] of the entry itself; its partner has 1 − λ.
    """

    partner: Int64[Tensor, " N"]
    kept: Float[Tensor, " N"]

    @classmethod
    def draw(cls, count: int, concentration: float, stream: Stream) -> Mixture:
        """Random partners; λ = max(λ', 1 − λ') with λ' from Beta(α, α) (MixMatch).

        Args:
            count: N.
            concentration: α > 0; the smaller, the closer λ is to 1.
            stream: decides partners and coefficients.
        """
        generator = stream.numpy()
        partner = torch.from_numpy(generator.permutation(count).astype(np.int64))
        drawn = torch.from_numpy(generator.beta(concentration, concentration, count).astype(np.float32))
        return cls(partner, torch.maximum(drawn, 1 - drawn))

    def __call__(self, values: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        """λ·value + (1 − λ)·partner's value, of images or class probabilities."""
        kept = self.kept.to(values).reshape(-1, *[1] * (values.ndim - 1))
        return kept * values + (1 - kept) * values[self.partner.to(values.device)]
