"""How unsure the classifier is in one ordinary pass, dropout off.

Least confidence: 1 − max p (Lewis & Gale 1994; Culotta & McCallum 2005).
Margin: −(p₁ − p₂), the two highest probabilities (Scheffer, Decomain & Wrobel 2001).
Entropy: −Σ p log p (Settles 2010; the 'EN' criterion of CEAL, Wang et al. 2017).

Probabilities are N×K; each score is a number an image, higher = label first. With K = 2 all three order a
pool alike. Cost and memory N·K.
"""

from __future__ import annotations

import numpy as np

from aral.acquisition.interface import Need, PoolView, Scores, TopScores, as_scores
from aral.acquisition.uncertainty import entropy
from aral.margins import HEARD, SURE, margin_of
from aral.randomness import Stream


def least_confidence_scores(pool: PoolView, stream: Stream) -> Scores:
    """1 − max p, between 0 and 1 − 1/K."""
    return as_scores(1 - pool.unlabelled.get(Need.PROBABILITIES).double().amax(dim=1))


def margin_scores(pool: PoolView, stream: Stream) -> Scores:
    """Second highest minus highest probability, between −1 (sure) and 0 (torn between two classes)."""
    best = pool.unlabelled.get(Need.PROBABILITIES).double().topk(2, dim=1).values
    return as_scores(best[:, 1] - best[:, 0])


def graph_margin_scores(pool: PoolView, stream: Stream) -> Scores:
    """The larger of two such margins, C's and that of the labels along the graph: high where either is in doubt.

    A classifier that trains on its own answers grows sure of its mistakes; the graph, which is asked anew with
    every label, does not. An image that the graph is sure to be of none of the classes has −1, the least. Where
    the graph is sure of hardly any image, because neighbours are not of one class, C's margin counts alone.
    """
    own = margin_scores(pool, stream)
    ahead = as_scores(margin_of(pool.unlabelled.get(Need.PROPAGATED).double()))
    if np.mean(np.abs(ahead) >= SURE) < HEARD:
        return own
    return np.where(ahead <= -SURE, -1.0, np.maximum(own, -np.abs(ahead)))


def entropy_scores(pool: PoolView, stream: Stream) -> Scores:
    """H[p] of the one pass in nats, between 0 and log K; ``max-entropy`` averages over passes first."""
    return as_scores(entropy(pool.unlabelled.get(Need.PROBABILITIES).double()))


ONE_PASS = frozenset({Need.PROBABILITIES})
LEAST_CONFIDENCE = TopScores(
    "least-confidence",
    ONE_PASS,
    least_confidence_scores,
    "best class falls short of certainty by {:.3f}".format,
)
MARGIN = TopScores(
    "margin", ONE_PASS, margin_scores, lambda score: f"two best classes are {-score:.3f} apart"
)
ENTROPY = TopScores("entropy", ONE_PASS, entropy_scores, "entropy of the prediction {:.2f} nats".format)
