"""Uncertainty of the classifier's mean prediction: from one pass, or averaged over Monte-Carlo passes.

One pass, dropout off; p is N×K:

    least-confidence   1 − max p              Lewis & Gale 1994; Culotta & McCallum 2005
    margin             −(p₁ − p₂)             the two highest probabilities; Scheffer, Decomain & Wrobel 2001
    entropy            H[p] = −Σ p log p      Settles 2010; the 'EN' criterion of CEAL, Wang et al. 2017

Monte-Carlo passes, dropout on; p is N×M×K and p̄ its mean over the M passes:

    max-entropy        H[p̄]                   Shannon 1948; Gal, Islam & Ghahramani 2017
    variation-ratio    1 − max p̄              Gal, Islam & Ghahramani 2017

Each score is one number an image, higher = label first; entropies are in nats, 0·log 0 = 0. With K = 2 all
scores of one pass give the same order. Cost and memory N·K, or N·M·K. What the passes disagree on is measured
in :mod:`aral.acquisition.committee` and :mod:`aral.acquisition.bald`.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aral.acquisition.interface import Need, PoolView, Scores, TopScores, scores_by_block
from aral.margins import CONFIDENT_MARGIN, MIN_CONFIDENT_SHARE, margin_of, two_highest
from aral.randomness import Stream


def entropy(probabilities: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
    """H[p] = −Σ p log p in nats, between 0 and log K. No gradient."""
    # Where p = 0, p·log(the smallest number) is 0. PyTorch's xlogy gives the same and takes 1.5 times as long.
    # One copy is changed in place.
    smallest = torch.finfo(probabilities.dtype).tiny
    return -probabilities.clamp_min(smallest).log_().mul_(probabilities).sum(dim=-1)


def least_confidence_scores(pool: PoolView, stream: Stream) -> Scores:
    """1 − max p, between 0 and 1 − 1/K."""
    return scores_by_block(pool.unlabelled.get(Need.PROBABILITIES), lambda p: 1 - p.amax(dim=1))


def margin_scores(pool: PoolView, stream: Stream) -> Scores:
    """Second highest minus highest probability, between −1 (confident) and 0 (two classes are equal)."""

    def score(p: Tensor) -> Tensor:
        first, second = two_highest(p)
        return second - first

    return scores_by_block(pool.unlabelled.get(Need.PROBABILITIES), score)


def entropy_scores(pool: PoolView, stream: Stream) -> Scores:
    """H[p] of the one pass in nats, between 0 and log K; ``max-entropy`` averages over passes first."""
    return scores_by_block(pool.unlabelled.get(Need.PROBABILITIES), entropy)


def graph_margin_scores(pool: PoolView, stream: Stream) -> Scores:
    """The larger of two margin scores, the classifier's and that of the propagated labels, between −1 and 0.

    So the score is high where either of the two is uncertain. A classifier that is trained on its own pseudo-labels
    becomes confident of its mistakes; propagated labels are computed anew from the labels in each round. An image
    whose propagated label is confidently out of distribution has −1, the lowest score.

    Where hardly any image of the pool has a confident propagated label (fewer than
    :data:`aral.margins.MIN_CONFIDENT_SHARE`), because neighbours are not of one class, the classifier's margin is
    used alone.
    """
    of_classifier = margin_scores(pool, stream)
    propagated = scores_by_block(pool.unlabelled.get(Need.PROPAGATED), margin_of)
    if np.mean(np.abs(propagated) >= CONFIDENT_MARGIN) < MIN_CONFIDENT_SHARE:
        return of_classifier
    out_of_distribution = propagated <= -CONFIDENT_MARGIN
    return np.where(out_of_distribution, -1.0, np.maximum(of_classifier, -np.abs(propagated)))


def max_entropy_scores(pool: PoolView, stream: Stream) -> Scores:
    """H[p̄], nats, between 0 and log K."""
    return scores_by_block(pool.unlabelled.get(Need.MC_PROBABILITIES), lambda p: entropy(p.mean(dim=1)))


def variation_ratio_scores(pool: PoolView, stream: Stream) -> Scores:
    """1 − max p̄, between 0 and 1 − 1/K; ``vote-variation-ratio`` counts votes instead."""
    return scores_by_block(
        pool.unlabelled.get(Need.MC_PROBABILITIES), lambda p: 1 - p.mean(dim=1).amax(dim=1)
    )


ONE_PASS = frozenset({Need.PROBABILITIES})
MC_PASSES = frozenset({Need.MC_PROBABILITIES})
LEAST_CONFIDENCE = TopScores(
    "least-confidence",
    ONE_PASS,
    least_confidence_scores,
    "one minus the highest probability is {:.3f}".format,
)
MARGIN = TopScores(
    "margin", ONE_PASS, margin_scores, lambda score: f"margin between the two best classes {-score:.3f}"
)
ENTROPY = TopScores("entropy", ONE_PASS, entropy_scores, "entropy of the prediction {:.2f} nats".format)
MAX_ENTROPY = TopScores(
    "max-entropy", MC_PASSES, max_entropy_scores, "entropy of the mean prediction {:.2f} nats".format
)
VARIATION_RATIO = TopScores(
    "variation-ratio",
    MC_PASSES,
    variation_ratio_scores,
    "one minus the highest mean probability is {:.3f}".format,
)
