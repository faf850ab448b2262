"""ACS-FW: a batch that moves the posterior as labelling the whole pool would (Pinsler et al. 2019).

Active Bayesian coreset selection by Frank-Wolfe. Each image has the vector of its expected log-likelihood
under the M Monte-Carlo passes ω_m ~ p(ω | labels so far), with the entropy that centres it:

    L_i[m] = (E over y ~ p̄_i of log p_m(y | x_i) + H[p̄_i]) / √M = −KL(p̄_i ‖ p_m(· | x_i)) / √M,  p̄ = mean p_m.

That is the paper's random projection for its weighted Euclidean inner product ⟨L_i, L_j⟩ =
E_ω[L_i(ω)·L_j(ω)], with the passes as projections. The batch is the support of a sparse w ≥ 0 with
Σ w_i·L_i ≈ L = Σ L_i.
Frank-Wolfe on the polytope Σ w_i·σ_i = σ, σ_i = ‖L_i‖, σ = Σ σ_i (Campbell & Broderick 2018): each step
goes, by an exact line search, towards the vertex σ·L_i/σ_i most aligned with the residual L − L(w).

A step may return to an image that it already holds, so n steps can give fewer than n images (and do as n
nears M, the rank of the L). Then further steps are taken towards images not yet held, until there are n.

Passes are N×M×K; a score is the alignment ⟨L − L(w), L_i/σ_i⟩ when an image was first chosen, higher = label first.
Probabilities below 10⁻¹² count as 10⁻¹², or one pass could make a vector infinite. Cost N·M·(K + 2n), memory 2·N·M.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from aral.acquisition.interface import Choice, JointBatch, Need, PoolView, argmax_with_ties, blocks_of
from aral.acquisition.uncertainty import MC_PASSES
from aral.randomness import Stream

SMALLEST = 1e-12
"""Lower probabilities are raised to this."""

Vectors = Float64[np.ndarray, "N M"]


def log_likelihood_vectors(passes: Float[Tensor, "N M K"]) -> Vectors:
    """L_i of every image, N×M: never positive, zero where all passes agree."""
    found = []
    for block in blocks_of(passes):
        part = block.double()
        mean = part.mean(dim=1, keepdim=True)
        divergence = (mean * (mean.clamp_min(SMALLEST).log() - part.clamp_min(SMALLEST).log())).sum(dim=2)
        found.append(-divergence / part.shape[1] ** 0.5)
    return torch.cat(found).numpy()


@dataclass
class FrankWolfe:
    """The search for w. Only L(w) is kept: w itself is not needed.

    Attributes:
        vectors: L_i, N×M.
        ties: a random number of each image.
        chosen: rows in the order in which they were first chosen.
        scores: their alignment when first chosen.
    """

    vectors: Vectors
    ties: Float64[np.ndarray, " N"]
    chosen: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        norms = np.linalg.norm(self.vectors, axis=1)
        self._length = float(norms.sum())
        # A vector of length zero has no direction, an alignment of 0, and is chosen last.
        self._directions = self.vectors / np.where(norms > 0, norms, np.inf)[:, None]
        self._target = self.vectors.sum(axis=0)
        self._reached = np.zeros(self.vectors.shape[1])

    @property
    def residual(self) -> Float64[np.ndarray, " M"]:
        """L − L(w), M."""
        return self._target - self._reached

    def step(self, only_new: bool) -> None:
        """One step; with ``only_new`` towards an image that is not yet chosen."""
        residual = self.residual
        alignment = self._directions @ residual
        allowed = alignment.copy()
        if only_new:
            allowed[self.chosen] = -np.inf
        row = argmax_with_ties(allowed, self.ties)
        direction = self._length * self._directions[row] - self._reached
        squared = float(direction @ direction)
        size = float(np.clip(direction @ residual / squared, 0.0, 1.0)) if squared > 0 else 0.0
        self._reached = self._reached + size * direction
        if row not in self.chosen:
            self.chosen.append(row)
            self.scores.append(float(alignment[row]))


def choose(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows in the order in which Frank-Wolfe first took them."""
    vectors = log_likelihood_vectors(pool.unlabelled.get(Need.MC_PROBABILITIES).detach())
    search = FrankWolfe(vectors, stream.child("ties").uniform(pool.unlabelled.ids))
    for _ in range(n):
        search.step(only_new=False)
    while len(search.chosen) < n:
        search.step(only_new=True)
    return Choice.of(
        search.chosen, search.scores, "alignment with the log-likelihood of the pool {:.3g}".format
    )


ACS_FW = JointBatch("acs-fw", MC_PASSES, choose)
