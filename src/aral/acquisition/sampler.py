"""The images that the sampler is surest are unlabelled (Algorithm 1; Sinha et al. 2019).

S(z) is a logit of 'labelled', so the score is −S(E(x, C(x))): the lowest S comes first. One strategy serves
both papers; VAAL's own encoder is unconditional, ARAL's is told what the classifier thinks.
"""

from __future__ import annotations

from torch import sigmoid, tensor

from aral.acquisition.interface import Need, PoolView, Scores, TopScores, as_scores
from aral.randomness import Stream


def unlabelled_scores(pool: PoolView, stream: Stream) -> Scores:
    """−S(μ), the logit that the image is unlabelled."""
    return as_scores(-pool.unlabelled.get(Need.SAMPLER_LOGITS))


def _describe(score: float) -> str:
    return f"sampler: labelled with probability {float(sigmoid(tensor(-score))):.3f}"


SAMPLER = frozenset({Need.SAMPLER_LOGITS})
ARAL = TopScores("aral", SAMPLER, unlabelled_scores, _describe)
VAAL = TopScores("vaal", SAMPLER, unlabelled_scores, _describe)
