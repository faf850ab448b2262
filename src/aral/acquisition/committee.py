"""Disagreement of Monte-Carlo passes, which are taken for the members of a committee.

Query by committee (Seung, Opper & Sompolinsky 1992). The passes p are N×M×K, p̄ is their mean over M. A pass votes
for its most probable class; v is the share of the votes of each class.

    committee              H[v]                        vote entropy; Dagan & Engelson 1995
    committee-divergence   mean over m of KL(p_m ‖ p̄)  McCallum & Nigam 1998
    vote-variation-ratio   1 − max v                   Freeman 1965; Beluch et al. 2018
    mean-std               mean over classes of the standard deviation over passes
                                                       Kampffmeyer et al. 2016; Gal et al. 2017

Each score is one number an image, higher = label first; entropies and divergences are in nats, from 0 to
log min(M, K). All members have equal weight in p̄, so committee-divergence equals BALD; it is listed for those who
know it by this name. Cost N·M·K.
"""

from __future__ import annotations

from jaxtyping import Float, Float64
from torch import Tensor

from aral.acquisition.interface import Need, PoolView, Scores, TopScores, scores_by_block
from aral.acquisition.uncertainty import MC_PASSES, entropy
from aral.randomness import Stream


def votes(passes: Float[Tensor, "N M K"]) -> Float[Tensor, "N K"]:
    """v: the share of the passes that vote for each class, rows sum to one.

    A pass with several most probable classes splits its vote, so the numbering of the classes decides nothing.
    """
    best = (passes == passes.amax(dim=2, keepdim=True)).double()
    return (best / best.sum(dim=2, keepdim=True)).mean(dim=1)


def vote_entropy_scores(pool: PoolView, stream: Stream) -> Scores:
    """H[v] in nats: 0 when all passes vote for one class, however uncertain each is."""
    return scores_by_block(pool.unlabelled.get(Need.MC_PROBABILITIES), lambda p: entropy(votes(p)))


def consensus_divergence_scores(pool: PoolView, stream: Stream) -> Scores:
    """Mean over the passes of KL(p_m ‖ p̄) in nats; 0·log 0 = 0."""
    return scores_by_block(pool.unlabelled.get(Need.MC_PROBABILITIES), _consensus_divergence)


def _consensus_divergence(passes: Float64[Tensor, "n M K"]) -> Float64[Tensor, " n"]:
    consensus = passes.mean(dim=1, keepdim=True)
    # Where the consensus is zero so is every member: the term is zero, and the clamp only avoids 0 · ∞.
    log_consensus = consensus.clamp_min(1e-300).log()
    divergence = (passes.xlogy(passes) - passes * log_consensus).sum(dim=2)
    return divergence.mean(dim=1)


def vote_variation_ratio_scores(pool: PoolView, stream: Stream) -> Scores:
    """1 − max v, between 0 and 1 − 1/K; ``variation-ratio`` takes mean probabilities instead."""
    return scores_by_block(pool.unlabelled.get(Need.MC_PROBABILITIES), lambda p: 1 - votes(p).amax(dim=1))


def mean_std_scores(pool: PoolView, stream: Stream) -> Scores:
    """Mean over classes of √(E[p²] − E[p]²) over the passes (divided by M, not M − 1), 0 to ½."""
    passes = pool.unlabelled.get(Need.MC_PROBABILITIES)
    return scores_by_block(passes, lambda p: p.std(dim=1, correction=0).mean(dim=1))


COMMITTEE = TopScores("committee", MC_PASSES, vote_entropy_scores, "entropy of the votes {:.2f} nats".format)
COMMITTEE_DIVERGENCE = TopScores(
    "committee-divergence",
    MC_PASSES,
    consensus_divergence_scores,
    "passes differ from their mean by {:.3f} nats".format,
)
VOTE_VARIATION_RATIO = TopScores(
    "vote-variation-ratio",
    MC_PASSES,
    vote_variation_ratio_scores,
    "{:.0%} of the passes vote for another class".format,
)
MEAN_STD = TopScores(
    "mean-std", MC_PASSES, mean_std_scores, "standard deviation over the passes {:.3f} a class".format
)
