"""BALD and the batches that are built on it.

The passes p are N×M×K, p̄ is their mean over the M Monte-Carlo passes; each pass is one network ω drawn from the
posterior. The mutual information of an image's label y and ω, in nats:

    bald   I(y; ω) = H[p̄] − mean over m of H[p_m]      Houlsby et al. 2011; Gal, Islam & Ghahramani 2017

Scores are higher = label first. The n images with the highest BALD are often n similar ones. Two remedies:

Stochastic batches (Kirsch, Farquhar et al. 2023, 'Stochastic Batch Acquisition'): add independent Gumbel noise of
scale 1/β to a function of the score s and take the n highest. This draws n images without replacement (Kool et al.
2019), with probabilities proportional to

    power-bald      s^β          (noise on log s; an image with s = 0 comes last)
    softmax-bald    exp(β·s)     (noise on s itself, so β has the unit 1/nats; close to uniform at β = 1)
    softrank-bald   rank^−β      (noise on −log rank; only the order of s counts)

The score is the perturbed one; the noise is a function of the stream and the image id.

BatchBALD (Kirsch, van Amersfoort & Gal 2019): the batch with the highest joint mutual information,

    batchbald   I(y₁…y_b; ω) = H(y₁…y_b) − Σ H(y_i | ω),   labels independent given ω.

Chosen greedily: the information is submodular, so a greedy batch has at least 1 − 1/e of the highest one. The
score of an image is its gain H(y | labels of the batch so far) − H(y | ω), nats, ≥ 0; the first gain is its
BALD score. The conditional entropy is the mean, over the labels that the batch may get ('configurations'), of
the entropy under the passes re-weighted by how well they predict those labels:

    exact:    all K^(b−1) configurations, while there are at most ``configurations`` of them;
    sampled:  that many, drawn from the joint distribution (a pass, then a label of each image from it). For
              C draws the error of a gain is at most about log K / √C nats, and much the same for all images. The
              draws are kept: when the batch grows, each configuration is extended by a label of the new image.

Gains only shrink as the batch grows, so the last gain of an image is an upper bound, and images whose bound is below
the highest gain found are not computed (lazy greedy, Minoux 1978). This changes no result while configurations are
exact; of sampled ones the last gain is an estimate, and so is the bound. The information of a batch is at most log M:
once no image adds any, the rest of the batch is drawn at random.

In a large pool the batch is chosen among the ``candidates`` images with the highest BALD score, which is an upper
bound of every gain; the reasons of the selection say so.

Cost of the scores N·M·K. Cost of BatchBALD N·M·K + at most n·S·K·C·M for S candidates; see
``benchmarks/acquisition_speed.py``. Beside the passes themselves, memory for one block of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from aral.acquisition.interface import (
    Choice,
    JointBatch,
    Need,
    PoolView,
    Scores,
    TopScores,
    argmax_with_ties,
    as_scores,
    scores_by_block,
)
from aral.acquisition.uncertainty import MC_PASSES, entropy
from aral.randomness import Stream
from aral.types import Ids

SMALLEST_SCORE = 1e-12
"""BALD scores below this (in nats) are rounding errors of zero."""

EQUAL_GAINS = 1e-9
"""Gains closer than this (in nats) are equal, and a gain below it is none."""

BLOCK = 1 << 21
"""Conditional probabilities held at a time (16 MB)."""


def bald_scores(pool: PoolView, stream: Stream) -> Scores:
    """H[p̄] − mean over the passes of H[p_m], nats: 0 where all passes agree, however uncertain each is."""
    return scores_by_block(
        pool.unlabelled.get(Need.MC_PROBABILITIES), lambda p: entropy(p.mean(dim=1)) - entropy(p).mean(dim=1)
    )


class Perturbation(StrEnum):
    """Which function of the score the noise is added to."""

    POWER = "power"
    SOFTMAX = "softmax"
    SOFTRANK = "softrank"


@dataclass(frozen=True)
class StochasticBald:
    """BALD with Gumbel noise.

    Attributes:
        perturbation: what the noise is added to.
        coldness: β > 0; the larger, the closer to the plain n highest.
    """

    perturbation: Perturbation
    coldness: float = 1.0

    def __call__(self, pool: PoolView, stream: Stream) -> Scores:
        """Perturbed scores, N."""
        ids = pool.unlabelled.ids
        score = np.maximum(bald_scores(pool, stream), SMALLEST_SCORE)
        match self.perturbation:
            case Perturbation.POWER:
                signal = np.log(score)
            case Perturbation.SOFTMAX:
                signal = score
            case Perturbation.SOFTRANK:
                signal = -np.log(ranks(score, stream.child("ranks").uniform(ids)))
        return signal + gumbel(ids, stream.child("noise")) / self.coldness


def ranks(values: Float[np.ndarray, " N"], ties: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """1 for the highest value, N for the lowest; equal values are ordered by ``ties``."""
    result = np.empty(values.size)
    result[np.lexsort((ties, -values))] = np.arange(1, values.size + 1)
    return result


def gumbel(ids: Ids, stream: Stream) -> Float[np.ndarray, " N"]:
    """A standard Gumbel variate of each id: −log(−log u)."""
    return -np.log(-np.log(np.clip(stream.uniform(ids), 2.0**-54, 1 - 2.0**-53)))


@dataclass(frozen=True, eq=False)
class LabelConfigurations:
    """The labels that the batch may get, and the probability of each pass given them.

    Attributes:
        weights: C, probability of each configuration of labels, summing to one.
        posterior: C×M, probability of each pass given the configuration, rows summing to one.
    """

    weights: Float64[Tensor, " C"]
    posterior: Float64[Tensor, "C M"]


def all_configurations(batch: Float64[Tensor, "b M K"]) -> LabelConfigurations:
    """All K^b configurations of the batch's labels of positive probability."""
    members = batch.shape[1]
    joint = torch.full((1, members), 1 / members, dtype=torch.float64)
    for image in batch:
        joint = (joint[:, None, :] * image.T[None, :, :]).reshape(-1, members)
    weights = joint.sum(dim=1)
    joint, weights = joint[weights > 0], weights[weights > 0]
    return LabelConfigurations(weights / weights.sum(), joint / weights[:, None])


class SampledConfigurations:
    """Configurations drawn from the joint distribution of the batch's labels; each pass generates equally many.

    Args:
        members: M.
        configurations: at least this many; rounded up to a multiple of M.
    """

    def __init__(self, members: int, configurations: int) -> None:
        self._source = torch.arange(-(-configurations // members) * members) % members
        self._log_likelihood = torch.zeros(len(self._source), members, dtype=torch.float64)

    def extend(self, image: Float64[Tensor, "M K"], stream: Stream) -> None:
        """Draw a label of one more image for each configuration, from the pass that generates it."""
        cumulative = image[self._source].cumsum(dim=1)
        drawn = torch.from_numpy(stream.numpy().random(len(self._source)))[:, None] * cumulative[:, -1:]
        labels = (drawn >= cumulative).sum(dim=1).clamp_max(image.shape[1] - 1)
        self._log_likelihood += image.log().T[labels]

    def given(self) -> LabelConfigurations:
        """The configurations, equally probable, and the passes given each."""
        weights = torch.full((len(self._source),), 1 / len(self._source), dtype=torch.float64)
        # A configuration is possible under its own source, so no row is −∞ throughout.
        return LabelConfigurations(weights, self._log_likelihood.softmax(dim=1))


def gains(passes: Float64[Tensor, "N M K"], given: LabelConfigurations) -> Float64[Tensor, " N"]:
    """H(y | labels of the batch) − H(y | ω) of each image, nats."""
    images, members, classes = passes.shape
    conditional = given.posterior @ passes.transpose(0, 1).reshape(members, images * classes)
    # 0·log 0 = 0: the clamp keeps the logarithm finite.
    plogp = conditional.clamp_min(1e-300).log_().mul_(conditional)
    conditional_entropy = -(given.weights @ plogp).reshape(images, classes).sum(dim=1)
    return conditional_entropy - entropy(passes).mean(dim=1)


@dataclass(frozen=True)
class BatchBald:
    """Greedy BatchBALD.

    Attributes:
        configurations: C, the largest number of label configurations that are evaluated.
        candidates: S, how many images the batch is chosen among, those with the highest BALD; at least 4·n.
    """

    configurations: int = 1000
    candidates: int = 2000

    def candidate_count(self, n: int) -> int:
        """Among how many images with the highest BALD n are chosen, where there are so many."""
        return max(self.candidates, 4 * n)

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, each with the information it adds to those before it, in nats."""
        ties = stream.child("ties").uniform(pool.unlabelled.ids)
        bald = bald_scores(pool, stream)
        kept = np.sort(np.lexsort((ties, -bald))[: self.candidate_count(n)])
        passes = pool.unlabelled.rows(kept).get(Need.MC_PROBABILITIES).detach().double()
        rows, scores = self._greedy(passes, bald[kept], ties[kept], n, stream)
        among = f", of the {kept.size:,} images with the highest BALD" if kept.size < bald.size else ""
        return Choice.of(
            [int(kept[row]) for row in rows],
            scores,
            lambda gain: f"adds {gain:.3f} nats to the information of the batch{among}",
        )

    def _greedy(
        self,
        passes: Float64[Tensor, "S M K"],
        bounds: Float[np.ndarray, " S"],
        ties: Float[np.ndarray, " S"],
        n: int,
        stream: Stream,
    ) -> tuple[list[int], list[float]]:
        bounds = bounds.copy()
        _, members, classes = passes.shape
        sampled = SampledConfigurations(members, self.configurations)
        rows: list[int] = []
        scores: list[float] = []
        for step in range(n):
            exact = classes**step <= self.configurations
            given = all_configurations(passes[rows]) if exact else sampled.given()
            found = self._highest_gains(passes, given, bounds)
            row = argmax_with_ties(found, ties, EQUAL_GAINS)
            rows.append(row)
            scores.append(float(found[row]))
            bounds = np.where(np.isfinite(found), found, bounds)
            bounds[row] = -np.inf
            sampled.extend(passes[row], stream.child("configurations", step))
        return rows, scores

    def _highest_gains(
        self, passes: Float64[Tensor, "S M K"], given: LabelConfigurations, bounds: Float[np.ndarray, " S"]
    ) -> Float[np.ndarray, " S"]:
        """Gains of the images whose bound reaches the highest gain; −∞ for all others."""
        if bounds.max() <= EQUAL_GAINS:
            return np.where(np.isfinite(bounds), 0.0, -np.inf)
        found = np.full(len(bounds), -np.inf)
        order = np.argsort(-bounds, kind="stable")
        order = order[bounds[order] > -np.inf]
        size = max(1, BLOCK // (len(given.weights) * passes.shape[2]))
        for start in range(0, len(order), size):
            rows: Int64[np.ndarray, " r"] = order[start : start + size]
            if bounds[rows[0]] < found.max() - EQUAL_GAINS:
                break
            found[rows] = as_scores(gains(passes[torch.from_numpy(rows)], given))
        return found


def _stochastic(name: str, perturbation: Perturbation) -> TopScores:
    return TopScores(
        name,
        MC_PASSES,
        StochasticBald(perturbation),
        "drawn by BALD, perturbed score {:.2f}".format,
        whole_pool=perturbation is Perturbation.SOFTRANK,
    )


BALD = TopScores("bald", MC_PASSES, bald_scores, "BALD {:.3f} nats".format)
POWER_BALD = _stochastic("power-bald", Perturbation.POWER)
SOFTMAX_BALD = _stochastic("softmax-bald", Perturbation.SOFTMAX)
SOFTRANK_BALD = _stochastic("softrank-bald", Perturbation.SOFTRANK)
BATCHBALD = JointBatch("batchbald", MC_PASSES, BatchBald())
