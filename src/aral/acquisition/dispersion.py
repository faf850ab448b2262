"""How the Monte-Carlo passes spread: variation ratios, in both definitions, and Mean STD.

Variation ratio (Gal, Islam & Ghahramani 2017): 1 − max over classes of the mean probability.
Vote variation ratio (Freeman 1965; Beluch et al. 2018): 1 − share of the votes that the commonest class got.
Mean STD (Kampffmeyer et al. 2016; Gal et al. 2017): mean over classes of √(E[p²] − E[p]²) over passes.

Passes are N×M×K; each score is a number an image, higher = label first. Cost and memory N·M·K. Libraries
call each of the first two 'variation ratio', and the two order pools differently: hence two names.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from aral.acquisition.interface import Need, PoolView, Scores, TopScores, as_scores
from aral.acquisition.uncertainty import MC
from aral.randomness import Stream


def votes(passes: Float[Tensor, "N M K"]) -> Float[Tensor, "N K"]:
    """Share of the passes that vote for each class, rows summing to one.

    A pass votes for its most probable class; a pass that is tied splits its vote, so that the order in which
    classes are numbered decides nothing.
    """
    best = (passes == passes.amax(dim=2, keepdim=True)).double()
    return (best / best.sum(dim=2, keepdim=True)).mean(dim=1)


def variation_ratio_scores(pool: PoolView, stream: Stream) -> Scores:
    """1 − max of the mean prediction, between 0 and 1 − 1/K (Gal's definition)."""
    mean = pool.unlabelled.get(Need.MC_PROBABILITIES).double().mean(dim=1)
    return as_scores(1 - mean.amax(dim=1))


def vote_variation_ratio_scores(pool: PoolView, stream: Stream) -> Scores:
    """1 − frequency of the modal vote, between 0 and 1 − 1/K (Freeman's definition)."""
    return as_scores(1 - votes(pool.unlabelled.get(Need.MC_PROBABILITIES)).amax(dim=1))


def mean_std_scores(pool: PoolView, stream: Stream) -> Scores:
    """Mean over classes of the standard deviation over passes (divided by M, not M − 1), 0 to ½."""
    passes = pool.unlabelled.get(Need.MC_PROBABILITIES).double()
    return as_scores(passes.std(dim=1, correction=0).mean(dim=1))


VARIATION_RATIO = TopScores(
    "variation-ratio", MC, variation_ratio_scores, "mean prediction falls short of certainty by {:.3f}".format
)
VOTE_VARIATION_RATIO = TopScores(
    "vote-variation-ratio", MC, vote_variation_ratio_scores, "{:.0%} of the passes vote otherwise".format
)
MEAN_STD = TopScores("mean-std", MC, mean_std_scores, "passes spread by {:.3f} a class".format)
