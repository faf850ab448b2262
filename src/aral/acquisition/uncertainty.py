"""How unsure the classifier is, from one pass or from Monte-Carlo passes.

All scores are higher for more uncertain images. Definitions that libraries disagree on are fixed here;
0·log 0 is 0 everywhere.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from aral.acquisition.interface import Need, PoolView, Scores, TopScores, as_scores
from aral.randomness import Stream


def entropy(probabilities: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
    """H[p] = −Σ p log p in nats, between 0 and log K."""
    return -probabilities.xlogy(probabilities).sum(dim=-1)


def max_entropy_scores(pool: PoolView, stream: Stream) -> Scores:
    """H[mean over passes of p] (Shannon 1948; Gal et al. 2017), nats."""
    mean = pool.unlabelled.get(Need.MC_PROBABILITIES).double().mean(dim=1)
    return as_scores(entropy(mean))


def bald_scores(pool: PoolView, stream: Stream) -> Scores:
    """BALD: H[mean p] − mean H[p], nats: what the passes disagree on (Houlsby et al. 2011; Gal et al. 2017).

    Zero where every pass says the same, however unsure; the mean is over the passes of one image only.
    """
    passes = pool.unlabelled.get(Need.MC_PROBABILITIES).double()
    return as_scores(entropy(passes.mean(dim=1)) - entropy(passes).mean(dim=1))


MC = frozenset({Need.MC_PROBABILITIES})
MAX_ENTROPY = TopScores(
    "max-entropy", MC, max_entropy_scores, "entropy of the mean prediction {:.2f} nats".format
)
BALD = TopScores("bald", MC, bald_scores, "passes disagree by {:.3f} nats".format)
