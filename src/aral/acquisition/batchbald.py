"""BatchBALD: the batch whose labels together tell most about the network (Kirsch, van Amersfoort & Gal 2019).

    I(y₁…y_b; ω) = H(y₁…y_b) − Σ H(y_i | ω),   ω one of the M Monte-Carlo passes, labels independent given ω.

Chosen greedily: the information is submodular, so a greedy batch has at least 1 − 1/e of the best one's.
An image's gain is H(y | labels of the batch so far) − H(y | ω), nats, ≥ 0; the first gain is its BALD
score. The conditional entropy is the mean, over the labels the batch may get ('configurations'), of the
entropy under the passes re-weighted by how well they predict those labels:

    exact:    all K^(b−1) configurations, while there are at most ``configurations`` of them;
    sampled:  that many, drawn from the joint distribution (a pass, then a label of each image from it). For
              C draws the error of a gain is at most about log K / √C nats, and much the same for all images.

Passes are N×M×K. Gains only shrink as the batch grows, so the last exact gain of an image bounds it, and
images bounded below the best found are not computed (lazy greedy, Minoux 1978): exact, not a shortlist.
Cost at most n·N·K·C·M; 60,000 images, M = 20, K = 10, n = 10 take some seconds to about a minute on one
core. Memory N·M·K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from aral.acquisition.interface import Need, PoolView, as_scores
from aral.acquisition.joint import Choice, JointBatch, first_of_best
from aral.acquisition.uncertainty import MC, entropy
from aral.randomness import Stream

ROUNDING = 1e-12
"""Gains closer than this (in nats) are equal."""

BLOCK = 1 << 21
"""Conditional probabilities held at a time (16 MB)."""


@dataclass(frozen=True, eq=False)
class Belief:
    """What the labels of the batch so far would say of the passes, for each way they may turn out.

    Attributes:
        weights: C, probability of each configuration of labels, summing to one.
        posterior: C×M, probability of each pass given the configuration, rows summing to one.
        exact: all configurations of positive probability are there.
    """

    weights: Float64[Tensor, " C"]
    posterior: Float64[Tensor, "C M"]
    exact: bool


def exact_belief(batch: Float64[Tensor, "b M K"]) -> Belief:
    """All K^b configurations of the batch's labels."""
    members = batch.shape[1]
    joint = torch.full((1, members), 1 / members, dtype=torch.float64)
    for image in batch:
        joint = (joint[:, None, :] * image.T[None, :, :]).reshape(-1, members)
    weights = joint.sum(dim=1)
    joint, weights = joint[weights > 0], weights[weights > 0]
    return Belief(weights / weights.sum(), joint / weights[:, None], exact=True)


def sampled_belief(batch: Float64[Tensor, "b M K"], configurations: int, stream: Stream) -> Belief:
    """Configurations drawn from the joint distribution; each pass is the source of equally many."""
    _, members, classes = batch.shape
    source = torch.arange(-(-configurations // members) * members) % members
    generator = stream.numpy()
    log_likelihood = torch.zeros(len(source), members, dtype=torch.float64)
    for image in batch:
        cumulative = image[source].cumsum(dim=1)
        drawn = torch.from_numpy(generator.random(len(source)))[:, None] * cumulative[:, -1:]
        labels = (drawn >= cumulative).sum(dim=1).clamp_max(classes - 1)
        log_likelihood += image.log().T[labels]
    weights = torch.full((len(source),), 1 / len(source), dtype=torch.float64)
    # A configuration is possible under its own source, so no row is −∞ throughout.
    return Belief(weights, log_likelihood.softmax(dim=1), exact=False)


def gains(passes: Float64[Tensor, "N M K"], belief: Belief) -> Float64[Tensor, " N"]:
    """H(y | labels of the batch) − H(y | ω) of each image, nats."""
    images, members, classes = passes.shape
    conditional = belief.posterior @ passes.transpose(0, 1).reshape(members, images * classes)
    # 0·log 0 = 0: the clamp keeps the logarithm finite.
    plogp = conditional.clamp_min(1e-300).log_().mul_(conditional)
    uncertain = -(belief.weights @ plogp).reshape(images, classes).sum(dim=1)
    return uncertain - entropy(passes).mean(dim=1)


@dataclass(frozen=True)
class BatchBald:
    """Greedy BatchBALD.

    Attributes:
        configurations: C, most configurations of the batch's labels to look at.
    """

    configurations: int = 1000

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, each with the information it adds to those before it, in nats."""
        passes = pool.unlabelled.get(Need.MC_PROBABILITIES).detach().double()
        ties = stream.child("ties").uniform(pool.unlabelled.ids)
        bounds = np.full(len(passes), np.inf)
        rows: list[int] = []
        scores: list[float] = []
        for step in range(n):
            belief = self._belief(passes[rows], stream.child("configurations", step))
            found = self._gains_that_matter(passes, belief, bounds)
            row = first_of_best(found, ties, ROUNDING)
            rows.append(row)
            scores.append(float(found[row]))
            if belief.exact:
                bounds = np.where(np.isfinite(found), found, bounds)
            bounds[row] = -np.inf
        return Choice.of(rows, scores, "adds {:.3f} nats to what the batch tells".format)

    def _belief(self, batch: Float64[Tensor, "b M K"], stream: Stream) -> Belief:
        if batch.shape[2] ** len(batch) <= self.configurations:
            return exact_belief(batch)
        return sampled_belief(batch, self.configurations, stream)

    def _gains_that_matter(
        self, passes: Float64[Tensor, "N M K"], belief: Belief, bounds: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, " N"]:
        """Gains of the images whose bound reaches the best gain; −∞ for all others."""
        found = np.full(len(bounds), -np.inf)
        order = np.argsort(-bounds, kind="stable")
        order = order[bounds[order] > -np.inf]
        size = max(1, BLOCK // (len(belief.weights) * passes.shape[2]))
        for start in range(0, len(order), size):
            rows: Int64[np.ndarray, " r"] = order[start : start + size]
            if bounds[rows[0]] < found.max() - ROUNDING:
                break
            found[rows] = as_scores(gains(passes[torch.from_numpy(rows)], belief))
        return found


BATCHBALD = JointBatch("batchbald", MC, BatchBald())
